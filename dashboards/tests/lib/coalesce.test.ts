import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Coalescer } from '../../src/lib/coalesce';

let batches: [string, number][][];
let changes: Coalescer<number>;

beforeEach(() => {
  vi.useFakeTimers();
  batches = [];
  changes = new Coalescer<number>(1000, (batch) => batches.push([...batch]));
});
afterEach(() => vi.useRealTimers());

test('the first goes at once, the rest together after the interval, the latest of each', () => {
  changes.put([['a', 1]]);
  vi.advanceTimersByTime(0);
  expect(batches).toEqual([[['a', 1]]]);
  for (let n = 2; n < 50; n += 1) changes.put([['a', n], ['b', n]]); // prettier-ignore
  vi.advanceTimersByTime(999);
  expect(batches).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(batches[1]).toEqual([['a', 49], ['b', 49]]); // prettier-ignore
});
test('never more often than the interval, however much comes', () => {
  for (let ms = 0; ms < 10_000; ms += 10) {
    changes.put([[String(ms), ms]]);
    vi.advanceTimersByTime(10);
  }
  vi.advanceTimersByTime(1000);
  expect(batches.length).toBeLessThanOrEqual(11);
  expect(batches.flat()).toHaveLength(1000);
});
test('nothing is handed on without a change, or after the end', () => {
  changes.put([]);
  changes.put([['a', 1]]);
  changes.clear();
  vi.advanceTimersByTime(5000);
  expect(batches).toEqual([]);
});
