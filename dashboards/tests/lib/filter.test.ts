import { expect, test } from 'vitest';
import { figures, listed, NO_FILTER } from '../../src/lib/filter';
import { event } from './made';

const EVENTS = [
  event('a', { opened_at: '2026-11-22T06:00:00.000Z', severity: 'low' }),
  event('b', { opened_at: '2026-11-22T06:02:00.000Z', unacknowledged_count: 0, firing_count: 2 }),
  event('c', { opened_at: '2026-11-22T06:01:00.000Z', state: 'closed' }),
];
const ids = (filter: Partial<typeof NO_FILTER>) =>
  listed(EVENTS, { ...NO_FILTER, ...filter }, (e) => `${e.case_no} ${e.device_id}`).map((e) => e.event_id);

test('open events stand newest first', () => expect(ids({})).toEqual(['b', 'a']));
test('closed ones on request', () => {
  expect(ids({ state: 'closed' })).toEqual(['c']);
  expect(ids({ state: 'all' })).toEqual(['b', 'c', 'a']);
});
test('severity and words narrow, in any case and order', () => {
  expect(ids({ severities: new Set(['low'] as const) })).toEqual(['a']);
  expect(ids({ text: 'smk-000001 f2026' })).toEqual(['b', 'a']);
  expect(ids({ text: 'hyd' })).toEqual([]);
});
test('the figures count open events only', () => {
  expect(figures(EVENTS)).toEqual({ open: { critical: 1, high: 0, medium: 0, low: 1 }, unacknowledged: 1, firing: 3 });
});
