import { expect, test } from 'vitest';
import { difference } from '../../src/lib/balance';
import { seriesOf, stepsOf, summary } from '../../src/lib/series';

const RAW = { device_id: 'd', field: 'f', unit: '', step_ms: null };

test('a silence breaks the line of raw points and of steps', () => {
  const raw = seriesOf({ ...RAW, t_ms: [0, 10, 20, 500, 510], value: [1, 2, 3, 4, 5] });
  expect(raw.atMs).toEqual([0, 10, 20, 21, 500, 510]);
  expect(raw.middle).toEqual([1, 2, 3, null, 4, 5]);
  const stepped = (t_ms: number[]) => {
    const all = (value: number) => t_ms.map(() => value);
    return seriesOf({ ...RAW, step_ms: 100, t_ms, min: all(0), max: all(2), mean: all(1), last: all(1), count: all(3) });
  };
  expect(stepped([0, 100, 200, 900]).low).toEqual([0, 0, 0, null, 0]);
  expect(stepped([0, 300, 600, 900]).atMs).toEqual([0, 300, 600, 900]);
});

test('the summary knows the band and skips what is empty', () => {
  expect(summary({ atMs: [1, 2, 3], middle: [5, 6, null], low: [4, 5, null], high: [9, 8, null] })).toEqual({ low: 4, high: 9, last: 6 });
  expect(summary({ atMs: [1], middle: [null], low: null, high: null })).toBeNull();
});

test('equal values run together, newest first', () => {
  expect(stepsOf([1, 2, 3, 4], ['a', 'a', 'b', 'a'])).toEqual([
    { value: 'a', fromMs: 4, toMs: null },
    { value: 'b', fromMs: 3, toMs: 4 },
    { value: 'a', fromMs: 1, toMs: 3 },
  ]);
});

test('the ledger balances or says by how much it does not', () => {
  const ledger = { received: 10, stored: 5, duplicate: 1, dead_lettered: 1, quarantined: 1, in_flight: 2 };
  expect(difference(ledger)).toBe(0);
  expect(difference({ ...ledger, stored: 4 })).toBe(1);
});
