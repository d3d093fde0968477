/** Texts in the chosen language. Server codes become words here; unknown codes are shown as they are. */
import { preferences } from '../lib/preferences.svelte';
import type { Bilingual, Field, Value } from '../lib/wire';
import { en } from './en';
import { zhCN, type Key } from './zh-CN';

const CATALOGUES: Record<string, Record<Key, string>> = { 'zh-CN': zhCN, en };

export type Params = Record<string, string | number>;

/** The text of a key, with `{name}` filled in. */
export function t(key: Key, params: Params = {}): string {
  const text = CATALOGUES[preferences.language]![key];
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(params[name] ?? whole));
}

export type Family = 'severity' | 'state' | 'kind' | 'category' | 'field' | 'attribute' | 'choice' | 'quality' | 'outcome' | 'problem' | 'role' | 'theme' | 'language' | 'connection' | 'range' | 'quieted' | 'stage' | 'letter'; // prettier-ignore

/** The word for a server's code within its family. */
export function word(family: Family, code: string, otherwise: string = code): string {
  const key = `${family}.${code}`;
  return key in zhCN ? t(key as Key) : otherwise;
}

/** A problem's text; a code without one is named, so that it can be looked up. */
export function problemText(problem: { code: string }): string {
  return word('problem', problem.code, t('problem.unknown', { code: problem.code }));
}

/** Data that comes in both languages. */
export function bilingual(text: Bilingual | null | undefined): string {
  if (!text) return '';
  return preferences.language === 'en' ? text.en || text.zh : text.zh || text.en;
}

export function number(value: number, options: Intl.NumberFormatOptions = {}): string {
  return new Intl.NumberFormat(preferences.language, { maximumFractionDigits: 3, ...options }).format(value);
}

/** A value of a field as people read it, without its unit. */
export function valueText(value: Value | undefined, field?: Pick<Field, 'type'>): string {
  if (value === null || value === undefined) return t('value.none');
  if (typeof value === 'boolean') return value ? t('value.true') : t('value.false');
  if (typeof value === 'number') return number(value);
  return field?.type === 'text' ? value : word('choice', value);
}
