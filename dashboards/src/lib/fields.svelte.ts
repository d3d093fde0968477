/** Units and bounds of the fields of a kind; every device of a kind has the same, so one is asked. */
import { get, Problem } from './http';
import type { DeviceDetail, Field } from './wire';

/** What every kind has, and nobody looks at first: power, radio, the case. */
const COMMON = new Set(['battery_pct', 'battery_v', 'rsrp_dbm', 'device_temp_c', 'self_test', 'tamper', 'fault_text']);

/** A kind's own fields first. */
export function ownFirst(fields: Field[]): Field[] {
  return [...fields].sort((a, b) => Number(COMMON.has(a.name)) - Number(COMMON.has(b.name)));
}

class Fields {
  #byKind = $state.raw<ReadonlyMap<string, ReadonlyMap<string, Field>>>(new Map());
  #asked = new Set<string>();

  of(kind: string, name: string): Field | undefined {
    return this.#byKind.get(kind)?.get(name);
  }

  learn(kind: string, fields: Field[]): void {
    const byName = new Map(fields.map((field) => [field.name, field]));
    this.#byKind = new Map([...this.#byKind, [kind, byName]]);
  }

  async load(kind: string, deviceId: string): Promise<void> {
    if (this.#asked.has(kind)) return;
    this.#asked.add(kind);
    try {
      this.learn(kind, (await get<DeviceDetail>(`/devices/${encodeURIComponent(deviceId)}`)).fields);
    } catch (error) {
      // Values then stand without unit and bounds, which is poorer but true; the next alarm of the kind asks again.
      this.#asked.delete(kind);
      if (!(error instanceof Problem)) throw error;
    }
  }
}

export const fields = new Fields();
