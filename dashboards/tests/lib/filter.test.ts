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

test('the worst stands first, then what nobody has acknowledged, then the newest', () => {
  expect(ids({})).toEqual(['b', 'a']);
  const at = (minute: number) => ({ opened_at: `2026-11-22T06:0${minute}:00.000Z` });
  const events = [
    event('old', at(0)),
    event('new', at(1)),
    event('seen', { ...at(2), unacknowledged_count: 0 }),
    event('high', { ...at(3), severity: 'high' }),
    event('closed', { ...at(4), state: 'closed' }),
  ];
  expect(listed(events, { ...NO_FILTER, state: 'all' }, () => '').map((e) => e.event_id)).toEqual(['new', 'old', 'seen', 'high', 'closed']);
});
test('closed ones on request', () => {
  expect(ids({ state: 'closed' })).toEqual(['c']);
  expect(ids({ state: 'all' })).toEqual(['b', 'a', 'c']);
});
test('severity and words narrow, in any case and order', () => {
  expect(ids({ severities: new Set(['low'] as const) })).toEqual(['a']);
  expect(ids({ text: 'smk-000001 f2026' })).toEqual(['b', 'a']);
  expect(ids({ text: 'hyd' })).toEqual([]);
});
test('the figures count open events only', () => {
  expect(figures(EVENTS)).toEqual({ open: { critical: 1, high: 0, medium: 0, low: 1 }, unacknowledged: 1, firing: 3 });
});
