import { expect, test } from 'vitest';
import { listed, NO_FILTER } from '../../src/lib/filter';
import { rollUp, treeRows } from '../../src/lib/rollup';
import type { Area } from '../../src/lib/wire';
import { event } from './made';

const area = (code: string, parent: string | null): Area => ({ code, name: code, name_en: code, level: '', parent });
const AREAS = [area('3301', null), area('330106003', '330106'), area('330106', '3301'), area('330106002', '330106')];
const DEVICES = new Map([['330106003012001P001B001', 7], ['330106002', 2], ['330106', 1], ['4401', 5], ['', 9]]); // prettier-ignore
const EVENTS = [
  event('a', { area: '330106003012001', severity: 'medium' }),
  event('b', { area: '330106003', severity: 'high' }),
  event('c', { area: '330106002', severity: 'low' }),
  event('d', { area: '330106002', state: 'closed' }),
];

test('every area sums up what lies below it, in areas nobody named too', () => {
  expect(Object.fromEntries(rollUp(AREAS, DEVICES, EVENTS))).toEqual({
    '3301': { open: 3, worst: 3, devices: 10 },
    '330106': { open: 3, worst: 3, devices: 10 },
    '330106003': { open: 2, worst: 3, devices: 7 },
    '330106002': { open: 1, worst: 1, devices: 2 },
  });
});
test('rows stand by code below their parent, folded ones not at all', () => {
  const rows = (open: string[]) =>
    treeRows(AREAS, new Map(), ({ code }) => open.includes(code)).map((row) => [row.area.code, row.depth, row.children]);
  expect(rows([])).toEqual([['3301', 0, 1]]);
  expect(rows(['3301', '330106', '330106003'])).toEqual([
    ['3301', 0, 1], ['330106', 1, 2], ['330106002', 2, 0], ['330106003', 2, 0],
  ]); // prettier-ignore
});
test('who sees a part only has that part as the root', () => {
  const rows = treeRows([area('330106003', '330106')], new Map(), () => true);
  expect(rows.map((row) => [row.area.code, row.depth, row.expanded])).toEqual([['330106003', 0, false]]);
});
test('an area narrows the list to itself and what lies in it', () => {
  const ids = (code: string) => listed(EVENTS, { ...NO_FILTER, area: code }, () => '').map((e) => e.event_id);
  expect(ids('330106003').sort()).toEqual(['a', 'b']);
  expect(ids('').sort()).toEqual(['a', 'b', 'c']);
});
