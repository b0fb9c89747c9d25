import { unreadable } from './errors.ts';
import type { YbAdmin } from './program.ts';

/** The program's own version, e.g. `2024.2.1.0`; the universe's is what `version()` says by SQL. */
export async function programVersion(admin: YbAdmin): Promise<string> {
  return parseVersion(await admin.run('--version', []));
}

export function parseVersion(output: string): string {
  const [, version] = /^version (\d+(?:\.\d+){2,3})/m.exec(output) ?? [];
  if (version === undefined) throw unreadable('--version', output, 'line "version <a.b.c.d>"');
  return version;
}
