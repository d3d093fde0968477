// Plants a type error in a .svelte file and expects svelte-check to fail on it: some pairs of versions of
// TypeScript and svelte-check report nothing at all, and then a green check means nothing.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PLANTED = fileURLToPath(new URL(`../src/Planted${process.pid}.svelte`, import.meta.url));
const CLI = fileURLToPath(new URL('../node_modules/svelte-check/bin/svelte-check', import.meta.url));

let result;
try {
  writeFileSync(PLANTED, '<script lang="ts">\n  const planted: number = "not a number";\n</script>\n\n<p>{planted}</p>\n');
  result = spawnSync(process.execPath, [CLI, '--output', 'machine', '--threshold', 'error'], { cwd: ROOT, encoding: 'utf8' });
} finally {
  rmSync(PLANTED, { force: true });
}
const seen = result.stdout.includes(`Planted${process.pid}.svelte`) && result.status !== 0;
if (!seen) {
  console.error(`svelte-check did not report a planted type error (exit ${result.status}):\n${result.stdout}${result.stderr}`);
  process.exit(1);
}
console.log('svelte-check reports a planted type error');
