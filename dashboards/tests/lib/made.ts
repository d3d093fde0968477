/** Events, alarms and frames for tests. */
import type { Alarm, ChangeFrame, GridEvent } from '../../src/lib/wire';

export function event(eventId: string, changes: Partial<GridEvent> = {}): GridEvent {
  return {
    event_id: eventId, case_no: `F20261122-${eventId}`, category: 'fire', rule_id: 'smoke.fire',
    title: { zh: 'zh', en: 'Smoke alarm' }, severity: 'critical', state: 'open', area: '330106003012001',
    device_id: 'SMK-000001', kind: 'smoke', opened_at: '2026-11-22T06:00:00.000Z', updated_at: '2026-11-22T06:00:00.000Z',
    closed_at: null, closed_by: null, closing_note: '', alarm_count: 1, firing_count: 1, unacknowledged_count: 1,
    unverified: false, drill: false, merged_into: null, revision: 1, ...changes,
  }; // prettier-ignore
}

export function alarm(alarmId: string, eventId: string, changes: Partial<Alarm> = {}): Alarm {
  return {
    alarm_id: alarmId, rule_id: 'smoke.fire', rule_name: { zh: 'zh', en: 'Smoke alarm' }, device_id: 'SMK-000001',
    kind: 'smoke', area: '330106003012001', severity: 'critical', state: 'firing', latched: true, life_safety: true,
    unverified: false, provisional: false, pending_at: '2026-11-22T06:00:00.000Z', fired_at: '2026-11-22T06:00:00.000Z',
    cleared_at: null, resolved_at: null, acknowledged_at: null, acknowledged_by: null, confirmed_at: null,
    confirmed_by: null, outcome: null, note: '', evidence: {}, quieted_by: '', event_id: eventId, revision: 1, ...changes,
  }; // prettier-ignore
}

export function change(seq: number | null, changed: { event?: GridEvent; alarm?: Alarm }, op = 'alarm.fired'): ChangeFrame {
  return {
    t: 'ev', id: 1, seq, through: seq, provisional: seq === null, op, at: '2026-11-22T06:00:00.000Z',
    alarm: changed.alarm ?? null, event: changed.event ?? null,
  }; // prettier-ignore
}
