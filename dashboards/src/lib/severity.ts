/** Severities as figures, so that the worst of many is a maximum. Pure. */
import type { Alarm, GridEvent, Severity } from './wire';

export const NORMAL = 0;
const RANKED: readonly Severity[] = ['low', 'medium', 'high', 'critical'];

/** 1 for low up to 4 for critical; {@link NORMAL} is below all. */
export function rankOf(severity: Severity): number {
  return RANKED.indexOf(severity) + 1;
}

export function severityOf(rank: number): Severity | null {
  return RANKED[rank - 1] ?? null;
}

/** The rank of the worst that is open at each device: of events, and of alarms of other devices in an open event. */
export function worstByDevice(
  events: ReadonlyMap<string, GridEvent>,
  alarms: Iterable<Alarm>,
): ReadonlyMap<string, number> {
  const worst = new Map<string, number>();
  const raise = (deviceId: string, severity: Severity) =>
    worst.set(deviceId, Math.max(worst.get(deviceId) ?? NORMAL, rankOf(severity)));
  for (const event of events.values()) if (event.state === 'open') raise(event.device_id, event.severity);
  for (const alarm of alarms) {
    const event = alarm.event_id === null ? undefined : events.get(alarm.event_id);
    if (alarm.state === 'firing' && event?.state === 'open') raise(alarm.device_id, alarm.severity);
  }
  return worst;
}

/** What differs between two tables of ranks, as the new rank of each device. */
export function changedRanks(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const changed = new Map<string, number>();
  for (const id of before.keys()) if (!after.has(id)) changed.set(id, NORMAL);
  for (const [id, rank] of after) if (before.get(id) !== rank) changed.set(id, rank);
  return changed;
}
