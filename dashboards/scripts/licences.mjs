// The licence texts of everything that ends up in dist/, beside it: the wheel carries them too.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const root = new URL('../', import.meta.url)
const lock = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8')).packages
const roots = ['svelte', 'uplot', 'maplibre-gl', '@fontsource/noto-sans-sc']

// What is bundled: these, and all they need. (Everything is a development dependency: the built page needs nothing.)
const shipped = new Set()
const take = (name) => {
  const place = `node_modules/${name}`
  if (!lock[place] || shipped.has(place)) return
  shipped.add(place)
  Object.keys(lock[place].dependencies ?? {}).forEach(take)
}
roots.forEach(take)

const texts = [...shipped].sort().map((place) => {
  const one = lock[place]
  const folder = new URL(`${place}/`, root)
  const files = readdirSync(folder).filter((name) => /^(licen[cs]e|copying|notice)/i.test(name))
  const text = files.map((name) => readFileSync(new URL(name, folder), 'utf8').trim()).join('\n\n')
  return `${place.replace(/^.*node_modules\//, '')} ${one.version} (${one.license ?? 'see below'})\n\n${text || 'No text in the package.'}\n`
})
writeFileSync(new URL('dist/licences.txt', root), texts.join(`\n${'-'.repeat(80)}\n\n`))
