/** What this browser remembers: language, theme, whether single keys act. And what the address asks for: the wall. */
import { LANGUAGES, type Language } from '../i18n/languages';

export type Theme = 'system' | 'light' | 'dark';
const THEMES: readonly Theme[] = ['system', 'light', 'dark'];

function read<T extends string>(key: string, allowed: readonly T[], otherwise: T): T {
  const stored = localStorage.getItem(`gridwarden.${key}`) as T | null;
  return stored !== null && allowed.includes(stored) ? stored : otherwise;
}

class Preferences {
  language = $state<Language>(read('language', LANGUAGES, 'zh-CN'));
  theme = $state<Theme>(read('theme', THEMES, 'system'));
  keys = $state(read('keys', ['on', 'off'], 'on') === 'on');
  /** The wall shows and is not touched: `?kiosk` hides what can be clicked. */
  readonly kiosk = new URLSearchParams(location.search).has('kiosk');
  #systemDark = $state(false);

  get dark(): boolean {
    return this.theme === 'system' ? this.#systemDark : this.theme === 'dark';
  }

  start(): () => void {
    const media = matchMedia('(prefers-color-scheme: dark)');
    const changed = () => (this.#systemDark = media.matches);
    changed();
    media.addEventListener('change', changed);
    return () => media.removeEventListener('change', changed);
  }

  setLanguage(language: Language): void {
    this.language = language;
    localStorage.setItem('gridwarden.language', language);
  }

  nextTheme(): void {
    this.theme = THEMES[(THEMES.indexOf(this.theme) + 1) % THEMES.length]!;
    localStorage.setItem('gridwarden.theme', this.theme);
  }

  setKeys(on: boolean): void {
    this.keys = on;
    localStorage.setItem('gridwarden.keys', on ? 'on' : 'off');
  }
}

export const preferences = new Preferences();
