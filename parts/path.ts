import { access, constants, stat } from 'node:fs/promises';
import path from 'node:path';

/** The full path of a program on PATH, or undefined where there is none. */
export async function findOnPath(program: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    const candidate = path.join(folder, program);
    if (folder !== '' && (await isProgram(candidate))) return candidate;
  }
  return undefined;
}

/** Whether `file` is a plain file that this user may run. */
export async function isProgram(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false; // absent or not accessible: not a program that we can run
  }
}
