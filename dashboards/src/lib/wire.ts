/** What the server says, as `docs/guide/api.md` fixes it. Types only. */

export type Severity = 'critical' | 'high' | 'medium' | 'low';
export const SEVERITIES: readonly Severity[] = ['critical', 'high', 'medium', 'low'];

export type Value = boolean | number | string | null;
export type Outcome = 'true' | 'false' | 'test';
export type Role = 'viewer' | 'operator' | 'admin';

/** Bilingual data, such as the name of a rule. */
export interface Bilingual {
  zh: string;
  en: string;
}

export interface User {
  user_id: string;
  name: string;
  role: Role;
  areas: string[];
}

export interface Session {
  user: User;
  site: { name: string; time_zone: string };
  server_time: string;
}

export interface Evidence {
  values?: Record<string, Value>;
  previous?: Record<string, Value>;
  quality?: Record<string, string>;
  limits?: Record<string, unknown>;
  [other: string]: unknown;
}

export interface Alarm {
  alarm_id: string;
  rule_id: string;
  rule_name: Bilingual;
  device_id: string;
  kind: string;
  area: string;
  severity: Severity;
  state: 'firing' | 'resolved';
  latched: boolean;
  life_safety: boolean;
  unverified: boolean;
  provisional: boolean;
  pending_at: string;
  fired_at: string | null;
  cleared_at: string | null;
  resolved_at: string | null;
  acknowledged_at: string | null;
  acknowledged_by: string | null;
  confirmed_at: string | null;
  confirmed_by: string | null;
  outcome: Outcome | null;
  note: string;
  evidence: Evidence;
  /** Why it is told to nobody; empty: it is told. */
  quieted_by: string;
  event_id: string | null;
  revision: number;
}

/** A decision that quiets alarms. */
export interface Quieting {
  quieting_id: number;
  kind: 'silence' | 'shelved' | 'out_of_service' | 'maintenance';
  stage: 'proposed' | 'scheduled' | 'in_force' | 'ended';
  area: string;
  matchers: Record<string, string[]>;
  protected: boolean;
  until_at: string | null;
  author: string;
  comment: string;
  created_at: string;
  approved_by: string | null;
  /** Firing alarms it quiets now. */
  quiets: number;
}

export interface GridEvent {
  event_id: string;
  case_no: string;
  category: string;
  rule_id: string;
  title: Bilingual;
  severity: Severity;
  /** `merged`: a later event has adopted it, see `merged_into`; its alarms are handled there. */
  state: 'open' | 'closed' | 'merged';
  area: string;
  device_id: string;
  kind: string;
  opened_at: string;
  updated_at: string;
  closed_at: string | null;
  closed_by: string | null;
  closing_note: string;
  alarm_count: number;
  firing_count: number;
  unacknowledged_count: number;
  unverified: boolean;
  drill: boolean;
  merged_into: string | null;
  revision: number;
}

export interface Field {
  name: string;
  type: 'bool' | 'int' | 'float' | 'enum' | 'text';
  unit: string;
  low: number | null;
  high: number | null;
  choices: string[];
}

export interface Device {
  device_id: string;
  kind: string;
  name: string;
  area: string;
  profile: string;
  gateway: string | null;
  building: string;
  lon: number | null;
  lat: number | null;
  registered: boolean;
  attributes: Record<string, unknown>;
}

/** What helps in an incident: a micro fire station, a maintenance team. */
export interface Resource {
  resource_id: string;
  kind: string;
  name: string;
  area: string;
  lon: number | null;
  lat: number | null;
  attributes: Record<string, unknown>;
}

/** Beside what was asked for, as the crow flies. */
export type Near<Thing> = Thing & { distance_m: number };
export type NearDevice = Near<Device> & Partial<Pick<DeviceState, 'values' | 'occurred_at'>>;

/** The last known state of a device. */
export interface DeviceState {
  device_id: string;
  occurred_at: string | null;
  received_at?: string | null;
  values: Record<string, Value>;
  quality: Record<string, string>;
}

export type DeviceDetail = Device & DeviceState & { fields: Field[] };

export interface Area {
  code: string;
  name: string;
  name_en: string;
  level: string;
  parent: string | null;
}

export interface RawReadings {
  device_id: string;
  field: string;
  unit: string;
  step_ms: null | 0;
  t_ms: number[];
  value: Value[];
  complete_until?: string | null;
}

export interface SteppedReadings {
  device_id: string;
  field: string;
  unit: string;
  step_ms: number;
  t_ms: number[];
  min: (number | null)[];
  max: (number | null)[];
  mean: (number | null)[];
  last: Value[];
  count: number[];
  complete_until?: string | null;
}

export type Readings = RawReadings | SteppedReadings;

export interface Ledger {
  received: number;
  stored: number;
  duplicate: number;
  dead_lettered: number;
  quarantined: number;
  in_flight: number;
  redelivered?: number;
  unchecked?: number;
  /** `down`: core did not answer, these are the figures last stored. */
  core?: 'up' | 'down';
  history_lag?: { transactions: number | null; complete_until: string | null; lag_s: number | null };
}

/** What was set aside with the same reason; `code` of dead letters, `device_id` of quarantined readings. */
export interface AsideGroup {
  code?: string;
  device_id?: string;
  gateway: string;
  /** Receptions; `rows` is how many different ones. */
  count: number;
  rows: number;
  bytes?: number;
  first_at: string;
  last_at: string;
  /** The newest of them. */
  example: number;
}

export interface DeadLetter {
  dead_letter_id: number;
  received_at: string;
  last_received_at: string;
  count: number;
  broker: string;
  lane: string;
  topic: string;
  gateway: string;
  code: string;
  place: string;
  reason: string;
  bytes: number;
  /** The beginning of it, where it is long. */
  payload_hex: string;
}

/** A line of the ledger: what one gateway has sent. */
export interface GatewayLine {
  gateway: string;
  received: number;
  stored: number;
  duplicate: number;
  dead_lettered: number;
  quarantined: number;
  balanced: boolean;
  last_heard_at: string | null;
  open_dead_letters: number;
}

/** Frames from the server. */
export type Frame =
  | { t: 'hello'; v: number; server_time: string; ping_s: number; epoch: string; user: User | null }
  | { t: 'auth_ok'; user: User }
  | { t: 'sub_ok'; id: number; mode: 'resumed' | 'snapshot'; epoch?: string; seq?: number; version?: number }
  | { t: 'snap'; id: number; events: GridEvent[]; alarms: Alarm[] }
  | { t: 'snap_end'; id: number; seq: number }
  | ChangeFrame
  | { t: 'd'; id: number; version: number; up: DeviceState[] }
  | { t: 'ping'; server_time: string; through?: number }
  | { t: 'gap'; id: number; reason: string }
  | { t: 'err'; id?: number; code: string };

export interface ChangeFrame {
  t: 'ev';
  id: number;
  /** Absent from the stored order while records cannot commit. */
  seq: number | null;
  through?: number | null;
  provisional?: boolean;
  op: string;
  at: string;
  alarm: Alarm | null;
  event: GridEvent | null;
}
