import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A transcript of `yb-admin`, without its first line, which names where it is from. */
export function golden(profile: string, name: string): string {
  const text = readFileSync(join(import.meta.dirname, 'golden', profile, `${name}.txt`), 'utf8');
  if (!text.startsWith('# Source: '))
    throw new Error(`golden/${profile}/${name}.txt does not say where it is from`);
  return text.slice(text.indexOf('\n') + 1);
}
