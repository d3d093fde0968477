import { describe, expect, test } from 'vitest';
import { CLOSED_KEPT, EMPTY, familyOf, reduce, type Action, type State } from '../../src/lib/reducer';
import { alarm, change, event } from './made';

const EPOCH = 'b3f1';
const hello = (epoch = EPOCH): Action => ({ t: 'hello', v: 1, server_time: '', ping_s: 15, epoch, user: null });
const subOk = (mode: 'resumed' | 'snapshot', seq: number, epoch = EPOCH): Action => ({ t: 'sub_ok', id: 1, mode, epoch, seq });
const ping = (through: number): Action => ({ t: 'ping', server_time: '', through });
const play = (actions: Action[], from: State = EMPTY) => actions.reduce(reduce, from);
const snapshot = (events: string[], seq: number): Action[] => [
  subOk('snapshot', seq),
  { t: 'snap', id: 1, events: events.map((id) => event(id)), alarms: events.map((id) => alarm(`a-${id}`, id)) },
  { t: 'snap_end', id: 1, seq },
];
const live = play([hello(), ...snapshot(['e1', 'e2'], 10)]);
const ids = (state: State) => [...state.events.keys()].sort();

describe('snapshot', () => {
  test('is shown whole or not at all', () => {
    const half = play([hello(), subOk('snapshot', 10), { t: 'snap', id: 1, events: [event('e1')], alarms: [] }]);
    expect(ids(half)).toEqual([]);
    expect(half.through).toBeNull();
    const whole = play([{ t: 'snap', id: 1, events: [event('e2')], alarms: [] }, { t: 'snap_end', id: 1, seq: 10 }], half);
    expect(ids(whole)).toEqual(['e1', 'e2']);
    expect(whole.through).toBe(10);
  });

  test('takes away what was closed while nobody listened, and keeps what was seen to close', () => {
    const closed = play([change(11, { event: event('e1', { state: 'closed', revision: 2 }) }, 'event.closed')], live);
    const later = play([hello(), ...snapshot(['e3'], 40)], closed);
    expect(ids(later)).toEqual(['e1', 'e3']);
    expect([...later.alarms.keys()].sort()).toEqual(['a-e1', 'a-e3']);
  });

  test('does not overwrite a higher revision, nor a change that came while it was on its way', () => {
    const ahead = play([change(12, { event: event('e1', { revision: 5, unacknowledged_count: 0 }) })], live);
    const later = play(
      [
        subOk('snapshot', 11),
        { t: 'snap', id: 1, events: [event('e1', { revision: 2 })], alarms: [] },
        change(13, { event: event('e9') }),
        { t: 'snap_end', id: 1, seq: 11 },
      ],
      ahead,
    );
    expect(later.events.get('e1')?.revision).toBe(5);
    expect(ids(later)).toEqual(['e1', 'e9']);
    expect(later.through).toBe(13);
  });

  test('a ping on its way does not speak of it', () => {
    const state = play([subOk('snapshot', 80), ping(90), { t: 'snap_end', id: 1, seq: 80 }], live);
    expect(state.through).toBe(80);
  });

  test('cut off half-way leaves the place to resume from', () => {
    const cut = play([subOk('snapshot', 90), { t: 'snap', id: 1, events: [event('e7')], alarms: [] }, ping(90)], live);
    expect(cut.through).toBe(10);
    expect(ids(cut)).toEqual(['e1', 'e2']);
  });
});

describe('changes', () => {
  test('a duplicate changes nothing, not even the identity of the state', () => {
    const once = reduce(live, change(11, { event: event('e3'), alarm: alarm('a3', 'e3') }));
    expect(reduce(once, change(11, { event: event('e3'), alarm: alarm('a3', 'e3') }))).toBe(once);
  });

  test('in any order the highest revision stands', () => {
    const frames = [1, 2, 3, 4].map((revision) =>
      change(10 + revision, { event: event('e5', { revision, alarm_count: revision }), alarm: alarm('a5', 'e5', { revision }) }),
    );
    for (const order of permutations(frames)) {
      const state = play([...order, ...order], live);
      expect(state.events.get('e5')?.alarm_count).toBe(4);
      expect(state.alarms.get('a5')?.revision).toBe(4);
      expect(state.through).toBe(14);
    }
  });

  test('the place to resume from moves with what was said, and never back', () => {
    expect(play([change(20, { event: event('e3') }), ping(25), ping(22)], live).through).toBe(25);
  });

  test('what came over HTTP obeys the revision too', () => {
    const ahead = play([change(11, { event: event('e1', { revision: 4 }) })], live);
    const merged = reduce(ahead, { t: 'merge', events: [event('e1', { revision: 3 }), event('old', { state: 'closed' })], alarms: [] });
    expect(merged.events.get('e1')?.revision).toBe(4);
    expect(merged.events.has('old')).toBe(true);
  });

  test('closed events do not pile up', () => {
    const frames = Array.from({ length: CLOSED_KEPT + 20 }, (_, i) =>
      change(100 + i, { event: event(`c${i}`, { state: 'closed', closed_at: new Date(i * 1000).toISOString() }) }),
    );
    const state = play(frames, live);
    expect(state.events.size).toBe(CLOSED_KEPT + 2);
    expect(state.events.has('c0')).toBe(false);
    expect(state.events.has('e1')).toBe(true);
  });
});

describe('resume', () => {
  test('keeps what is held and goes on from there', () => {
    const again = play([hello(), subOk('resumed', 30), change(15, { event: event('e1', { revision: 2 }) }), ping(30)], live);
    expect(ids(again)).toEqual(['e1', 'e2']);
    expect(again.events.get('e1')?.revision).toBe(2);
    expect(again.through).toBe(30);
  });

  test('a gap keeps the place, so that nothing between is lost', () => {
    expect(reduce(live, { t: 'gap', id: 1, reason: 'overflow' })).toBe(live);
  });

  test('another epoch voids everything held, also in the hello', () => {
    const restored = reduce(live, hello('c0de'));
    expect(restored).toEqual({ ...EMPTY, epoch: 'c0de' });
    const state = play(snapshot(['e1'], 3).map((a) => (a.t === 'sub_ok' ? { ...a, epoch: 'c0de' } : a)), restored);
    expect(ids(state)).toEqual(['e1']);
    expect(state.through).toBe(3);
  });
});

describe('provisional', () => {
  const foretold = play([change(null, { event: event('p1'), alarm: alarm('pa', 'p1', { provisional: true }) })], live);

  test('is shown, marked, and moves no place to resume from', () => {
    expect(foretold.events.has('p1')).toBe(true);
    expect([...foretold.provisional].sort()).toEqual(['p1', 'pa']);
    expect(foretold.through).toBe(10);
  });

  test('gives way to what is stored, at the same revision and even under another event', () => {
    const stored = reduce(foretold, change(11, { event: event('s1'), alarm: alarm('pa', 's1') }));
    expect(stored.events.has('p1')).toBe(false);
    expect(stored.alarms.get('pa')?.event_id).toBe('s1');
    expect(stored.provisional.size).toBe(0);
  });

  test('never covers what is stored', () => {
    const state = play([change(null, { event: event('e1', { revision: 9, severity: 'low' }) })], live);
    expect(state.events.get('e1')?.severity).toBe('critical');
  });

  test('outlives a snapshot that does not know it, and not one that does', () => {
    const unknown = play(snapshot(['e1'], 20), foretold);
    expect(ids(unknown)).toEqual(['e1', 'p1']);
    expect(unknown.provisional.has('p1')).toBe(true);
    const known = play(
      [
        subOk('snapshot', 20),
        { t: 'snap', id: 1, events: [event('s1')], alarms: [alarm('pa', 's1')] },
        { t: 'snap_end', id: 1, seq: 20 },
      ],
      foretold,
    );
    expect(ids(known)).toEqual(['s1']);
    expect(known.alarms.get('pa')?.provisional).toBe(false);
    expect(known.provisional.size).toBe(0);
  });
});

describe('an event that another has adopted', () => {
  const merged = (id: string, into: string) => event(id, { state: 'merged', merged_into: into, revision: 2 });
  const adopted = play([change(11, { event: merged('e1', 'e2') }, 'event.merged')], live);

  test('is one family with it', () => {
    expect([...familyOf(adopted.events, 'e2')].sort()).toEqual(['e1', 'e2']);
    expect([...familyOf(adopted.events, 'e1')]).toEqual(['e1']);
  });

  test('comes with a snapshot, and its alarms stay', () => {
    const later = play(
      [
        subOk('snapshot', 20),
        { t: 'snap', id: 1, events: [event('e2'), merged('e1', 'e2')], alarms: [alarm('a-e1', 'e1'), alarm('a-e2', 'e2')] },
        { t: 'snap_end', id: 1, seq: 20 },
      ],
      live,
    );
    expect(later.events.get('e1')?.state).toBe('merged');
    expect([...later.alarms.keys()].sort()).toEqual(['a-e1', 'a-e2']);
  });

  test('is kept as long as the one that has adopted it is open', () => {
    const closed = Array.from({ length: CLOSED_KEPT + 1 }, (_, n) =>
      change(20 + n, { event: event(`c${n}`, { state: 'closed', closed_at: `2026-11-23T00:00:00.${n}Z` }) }),
    );
    expect(play(closed, adopted).events.has('e1')).toBe(true);
    const parentClosed = change(5000, { event: event('e2', { state: 'closed', closed_at: '2026-11-24', revision: 9 }) });
    expect(play([...closed, parentClosed], adopted).events.has('e1')).toBe(false);
  });
});

describe('device states', () => {
  const d = (version: number, floor: number): Action => ({
    t: 'd', id: 2, version, up: [{ device_id: 'LIFT-1', occurred_at: null, values: { floor }, quality: {} }],
  }); // prettier-ignore

  test('the latest version wins', () => {
    const state = play([d(5, 1), d(7, 3), d(6, 2)], live);
    expect(state.devices.get('LIFT-1')?.values.floor).toBe(3);
    expect(state.deviceVersion).toBe(7);
  });

  test('looking at others forgets them', () => {
    const state = play([d(5, 1), { t: 'watch' }], live);
    expect(state.devices.size).toBe(0);
    expect(state.deviceVersion).toBeNull();
  });
});

function permutations<T>(items: T[]): T[][] {
  if (items.length < 2) return [items];
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]));
}
