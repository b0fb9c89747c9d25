import type { LeftOut } from './backup.ts';

/** One line for people: what is missing, or not as it was, and why. */
export function describeLeftOut({ kind, name, error, because, instead }: LeftOut): string {
  const what = instead === undefined ? 'left out' : `added ${instead}`;
  const why = because === 'selection' ? 'it needs what was not selected' : error;
  return `${what}: ${kind} ${name}: ${why}`;
}
