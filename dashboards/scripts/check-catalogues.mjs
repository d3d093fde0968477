// Fails on Han characters outside the catalogues, on keys that are used but missing, and on keys nobody uses.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const SRC = fileURLToPath(new URL('../src', import.meta.url));
const HAN = /\p{Script=Han}/u;
/** Keys looked up by a code that only the server knows: `word('kind', code)` uses all of `kind.*`. */
const FAMILY = /\bword\(\s*'(\w+)'/g;
const KEY_SHAPE = /'([a-z]\w*\.[\w.-]+)'/g;

const files = readdirSync(SRC, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile() && /\.(svelte|ts)$/.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name));
const isCatalogue = (path) => /i18n\/(zh-CN|en)\.ts$/.test(path);
const keysOf = (name) =>
  new Set([...readFileSync(join(SRC, 'i18n', name), 'utf8').matchAll(/^ {2}'([^']+)':/gm)].map((match) => match[1]));

const keys = keysOf('zh-CN.ts');
const english = keysOf('en.ts');
const families = new Set([...keys].map((key) => key.split('.')[0]));
const problems = [];
const used = new Set();

for (const path of files.filter((path) => !isCatalogue(path))) {
  const text = readFileSync(path, 'utf8');
  const name = relative(SRC, path);
  text.split('\n').forEach((line, i) => {
    if (HAN.test(line)) problems.push(`${name}:${i + 1}: Han characters outside the catalogue`);
  });
  for (const [, family] of text.matchAll(FAMILY)) {
    if (!families.has(family)) problems.push(`${name}: no keys ${family}.*`);
    for (const key of keys) if (key.startsWith(`${family}.`)) used.add(key);
  }
  // Any literal of the shape of a key counts, so that keys may wait in a table; only a call must name one that exists.
  for (const [, key] of text.matchAll(KEY_SHAPE)) used.add(key);
  for (const [, key] of text.matchAll(/\bt\(\s*'([^']+)'/g)) {
    if (!keys.has(key)) problems.push(`${name}: key ${key} is missing`);
  }
}
for (const key of keys) {
  if (!used.has(key)) problems.push(`zh-CN.ts: key ${key} is not used`);
  if (!english.has(key)) problems.push(`en.ts: key ${key} is missing`);
}
for (const [i, line] of readFileSync(join(SRC, 'i18n', 'en.ts'), 'utf8').split('\n').entries()) {
  // The name of a language is written in that language.
  if (HAN.test(line) && !line.includes("'language.zh-CN'")) problems.push(`en.ts:${i + 1}: Han characters`);
}

for (const problem of problems) console.error(problem);
console.log(`catalogues: ${keys.size} keys, ${files.length} files, ${problems.length} problems`);
process.exit(problems.length > 0 ? 1 : 0);
