// Fails when the built page outgrows its budgets: what everybody waits for, and what is loaded only when it is needed.
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));
const KIB = 1024;
/** Most bytes of each part as they are sent: letters are packed already, all else with gzip. */
const BUDGETS = { shell: 69 * KIB, quiet: 5 * KIB, intake: 6 * KIB, map: 460 * KIB, trend: 30 * KIB, font: 1200 * KIB };
/** Not part of the page: nobody loads it to work. */
const BESIDE = new Set(['licences.txt']);

function read() {
  const paths = readdirSync(DIST, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
  return new Map(paths.map((path) => [relative(DIST, path), readFileSync(path)]));
}

/** The shell is the page, its icon, and whatever the page names: the browser asks for those at once. */
function partOf(name, page) {
  if (name === 'index.html' || page.includes(`"/${name}"`)) return 'shell';
  if (/^assets\/(district-map|maplibre-gl-worker)-/.test(name)) return 'map';
  if (/^assets\/TrendChart-/.test(name)) return 'trend';
  if (/^assets\/QuietPage-/.test(name)) return 'quiet';
  if (/^assets\/IntakePage-/.test(name)) return 'intake';
  return name.endsWith('.woff2') ? 'font' : null;
}

function judge(files) {
  const page = files.get('index.html').toString();
  const sizes = Object.fromEntries(Object.keys(BUDGETS).map((part) => [part, 0]));
  const problems = [];
  for (const [name, content] of files) {
    if (BESIDE.has(name)) continue;
    const part = partOf(name, page);
    if (part === null) problems.push(`${name}: no budget counts it`);
    else sizes[part] += part === 'font' ? content.length : gzipSync(content).length;
  }
  for (const [part, size] of Object.entries(sizes)) {
    if (size === 0) problems.push(`${part}: no file of it is there`);
    if (size > BUDGETS[part]) problems.push(`${part}: ${kib(size)} KiB, at most ${kib(BUDGETS[part])} are allowed`);
  }
  return { sizes, problems };
}

const kib = (bytes) => (bytes / KIB).toFixed(1);

if (!existsSync(join(DIST, 'index.html'))) {
  console.error('dashboards/dist: the page is not built; make setup');
  process.exit(1);
}
const files = read();
const { sizes, problems } = judge(files);
// A check that cannot fail is none: with noise as large as its whole budget in one of its files, a part must be too large.
const page = files.get('index.html').toString();
for (const part of Object.keys(BUDGETS).filter((part) => sizes[part] > 0)) {
  const [name, content] = [...files].find(([name]) => name !== 'index.html' && partOf(name, page) === part);
  const swollen = judge(new Map(files).set(name, Buffer.concat([content, randomBytes(BUDGETS[part])])));
  if (!swollen.problems.some((problem) => problem.startsWith(`${part}: `))) problems.push(`${name}: its growth goes unnoticed`);
}
for (const problem of problems) console.error(problem);
console.log(`sizes: ${Object.entries(sizes).map(([part, size]) => `${part} ${kib(size)} of ${kib(BUDGETS[part])} KiB`).join(', ')}`);
process.exit(problems.length > 0 ? 1 : 0);
