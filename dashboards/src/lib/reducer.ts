/**
 * (state, frame) -> state: what the control room knows. Pure: no socket, clock or screen.
 *
 * Whatever is lost, doubled or late on the way, the one rule is the revision: a lower one never overwrites a
 * higher one. So frames may be applied twice or in another order and the outcome is the same.
 */
import type { Alarm, ChangeFrame, DeviceState, Frame, GridEvent } from './wire';

/** Closed events stay on the list for a while so that the operator sees how they ended; older ones go. */
export const CLOSED_KEPT = 500;

interface Held {
  readonly events: ReadonlyMap<string, GridEvent>;
  readonly alarms: ReadonlyMap<string, Alarm>;
}

export interface State extends Held {
  /** Identity of the database; a restore renews it and everything held is void. */
  readonly epoch: string | null;
  /** Everything up to there has been said; where to resume. `null`: nothing complete is held yet. */
  readonly through: number | null;
  /** Events and alarms shown before they could be stored. */
  readonly provisional: ReadonlySet<string>;
  /** A snapshot on its way; it replaces what is held only when it is whole. */
  readonly staging: (Held & { readonly through: number }) | null;
  readonly devices: ReadonlyMap<string, DeviceState>;
  readonly deviceVersion: number | null;
}

/** `merge` brings in what came over HTTP; `watch` forgets device states when other devices are looked at. */
export type Action =
  | Frame
  | { t: 'merge'; events: GridEvent[]; alarms: Alarm[] }
  | { t: 'watch' };

export const EMPTY: State = {
  epoch: null,
  through: null,
  events: new Map(),
  alarms: new Map(),
  provisional: new Set(),
  staging: null,
  devices: new Map(),
  deviceVersion: null,
};

export function reduce(state: State, action: Action): State {
  switch (action.t) {
    case 'hello':
      return inEpoch(state, action.epoch);
    case 'sub_ok':
      return subscribed(state, action);
    case 'snap':
      return state.staging === null ? state : staged(state, action.events, action.alarms);
    case 'snap_end':
      return state.staging === null ? state : snapshotEnded(state, state.staging, action.seq);
    case 'ev':
      return changed(state, action);
    case 'ping':
      // While a snapshot is on its way a ping speaks of what this client does not hold yet.
      return state.staging ? state : heardThrough(state, action.through);
    case 'd':
      return devicesChanged(state, action.version, action.up);
    case 'merge':
      return { ...state, ...merged(state, action.events, action.alarms) };
    case 'watch':
      return { ...state, devices: new Map(), deviceVersion: null };
    default:
      return state;
  }
}

function inEpoch(state: State, epoch: string): State {
  return state.epoch === epoch ? state : { ...EMPTY, epoch };
}

function subscribed(state: State, frame: Extract<Frame, { t: 'sub_ok' }>): State {
  // Only the events channel tells an epoch or a seq; device states need no snapshot, the latest wins.
  if (frame.epoch === undefined) return state;
  const here = inEpoch(state, frame.epoch);
  if (frame.mode === 'resumed') return { ...here, staging: null };
  return { ...here, staging: { events: new Map(), alarms: new Map(), through: 0 } };
}

function staged(state: State, events: GridEvent[], alarms: Alarm[]): State {
  const staging = state.staging!;
  return { ...state, staging: { ...staging, ...merged(staging, events, alarms) } };
}

function snapshotEnded(state: State, staging: NonNullable<State['staging']>, seq: number): State {
  const kept = stillTrue(state, staging);
  const events = merged(staging, kept.events, kept.alarms);
  return pruned({
    ...state,
    ...events,
    provisional: new Set([...state.provisional].filter((id) => kept.ids.has(id))),
    staging: null,
    through: Math.max(seq, staging.through),
  });
}

/** What a snapshot of open events does not tell but remains: those that are over, unstored ones, higher revisions. */
function stillTrue(state: State, staging: Held): { events: GridEvent[]; alarms: Alarm[]; ids: Set<string> } {
  const stored = new Set(staging.alarms.keys());
  const superseded = new Set([...state.alarms.values()].filter((a) => stored.has(a.alarm_id)).map((a) => a.event_id));
  const ids = new Set<string>();
  for (const id of state.provisional) {
    if (state.alarms.has(id) && !stored.has(id)) ids.add(id);
    if (state.events.has(id) && !staging.events.has(id) && !superseded.has(id)) ids.add(id);
  }
  const events = [...state.events.values()].filter(
    (e) => e.state !== 'open' || staging.events.has(e.event_id) || ids.has(e.event_id),
  );
  const eventIds = new Set(events.map((e) => e.event_id));
  const alarms = [...state.alarms.values()].filter(
    (a) => stored.has(a.alarm_id) || (a.event_id !== null && eventIds.has(a.event_id)),
  );
  // A stored one takes the place of its provisional forerunner even at the same revision.
  const outdated = (id: string, stored: ReadonlyMap<string, unknown>) => stored.has(id) && state.provisional.has(id);
  return {
    events: events.filter((e) => !outdated(e.event_id, staging.events)),
    alarms: alarms.filter((a) => !outdated(a.alarm_id, staging.alarms)),
    ids,
  };
}

function changed(state: State, frame: ChangeFrame): State {
  const unstored = frame.provisional === true || frame.seq === null;
  const next = unstored ? foretold(state, frame) : recorded(state, frame);
  const through = frame.through ?? frame.seq;
  if (unstored || through === null || through === undefined) return next;
  return heardThrough(next, through);
}

/** A change that is stored. Provisional forerunners of the same alarm give way to it. */
function recorded(state: State, frame: ChangeFrame): State {
  let here = state;
  const earlier = frame.alarm && state.alarms.get(frame.alarm.alarm_id);
  const outdated = [frame.alarm?.alarm_id, frame.event?.event_id, earlier?.event_id].filter(
    (id): id is string => typeof id === 'string' && state.provisional.has(id),
  );
  if (outdated.length > 0) here = forget(here, outdated);
  const events = frame.event ? [frame.event] : [];
  const alarms = frame.alarm ? [frame.alarm] : [];
  const held = merged(here, events, alarms);
  const staging = here.staging && { ...here.staging, ...merged(here.staging, events, alarms) };
  if (here === state && held.events === here.events && held.alarms === here.alarms && staging === null) return state;
  return pruned({ ...here, ...held, staging });
}

/** A change that could not be stored yet: shown, but never over something that is stored. */
function foretold(state: State, frame: ChangeFrame): State {
  const isNew = (id: string, held: ReadonlyMap<string, unknown>) => !held.has(id) || state.provisional.has(id);
  const events = frame.event && isNew(frame.event.event_id, state.events) ? [frame.event] : [];
  const alarms = frame.alarm && isNew(frame.alarm.alarm_id, state.alarms) ? [frame.alarm] : [];
  if (events.length + alarms.length === 0) return state;
  const ids = [...events.map((e) => e.event_id), ...alarms.map((a) => a.alarm_id)];
  return { ...state, ...merged(state, events, alarms), provisional: new Set([...state.provisional, ...ids]) };
}

function forget(state: State, ids: string[]): State {
  const gone = new Set(ids);
  const without = <T>(map: ReadonlyMap<string, T>) => new Map([...map].filter(([id]) => !gone.has(id)));
  return {
    ...state,
    events: without(state.events),
    alarms: without(state.alarms),
    provisional: new Set([...state.provisional].filter((id) => !gone.has(id))),
  };
}

function heardThrough(state: State, through: number | undefined): State {
  if (through === undefined) return state;
  if (state.staging) {
    // Until the snapshot is whole the cursor stays: a cut now must not make us resume past what we never held.
    return { ...state, staging: { ...state.staging, through: Math.max(state.staging.through, through) } };
  }
  if (state.through === null || through <= state.through) return state;
  return { ...state, through };
}

function devicesChanged(state: State, version: number, up: DeviceState[]): State {
  if (state.deviceVersion !== null && version < state.deviceVersion) return state;
  const devices = new Map(state.devices);
  for (const device of up) devices.set(device.device_id, device);
  return { ...state, devices, deviceVersion: version };
}

function merged(held: Held, events: GridEvent[], alarms: Alarm[]): Held {
  return {
    events: byRevision(held.events, events, (e) => e.event_id),
    alarms: byRevision(held.alarms, alarms, (a) => a.alarm_id),
  };
}

function byRevision<T extends { revision: number }>(
  held: ReadonlyMap<string, T>,
  news: T[],
  idOf: (item: T) => string,
): ReadonlyMap<string, T> {
  let next: Map<string, T> | null = null;
  for (const item of news) {
    const known = (next ?? held).get(idOf(item));
    if (known && known.revision >= item.revision) continue;
    next ??= new Map(held);
    next.set(idOf(item), item);
  }
  return next ?? held;
}

function pruned(state: State): State {
  const closed = [...state.events.values()].filter((e) => isOver(state, e));
  if (closed.length <= CLOSED_KEPT) return state;
  closed.sort((a, b) => (a.closed_at ?? a.updated_at).localeCompare(b.closed_at ?? b.updated_at));
  const gone = new Set(closed.slice(0, closed.length - CLOSED_KEPT).map((e) => e.event_id));
  return {
    ...state,
    events: new Map([...state.events].filter(([id]) => !gone.has(id))),
    alarms: new Map([...state.alarms].filter(([, a]) => a.event_id === null || !gone.has(a.event_id))),
  };
}

/** Closed, or adopted by one that is: the alarms of an adopted event are those of the open one that has adopted it. */
function isOver(state: State, event: GridEvent): boolean {
  if (event.state !== 'merged') return event.state === 'closed';
  return state.events.get(event.merged_into ?? '')?.state !== 'open';
}

/** The events whose alarms are handled together: the event and those it has adopted. */
export function familyOf(events: ReadonlyMap<string, GridEvent>, eventId: string): ReadonlySet<string> {
  const adopted = [...events.values()].filter((event) => event.merged_into === eventId);
  return new Set([eventId, ...adopted.map((event) => event.event_id)]);
}
