import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { messageOf, permanent } from '../model/errors.ts';

/** A user of the operating system. */
export type Account = { readonly name: string; readonly uid: number; readonly gid: number };

const UNPRIVILEGED_ACCOUNTS = ['postgres', 'nobody'];

/**
 * Returns an account for a server that refuses to run as root: Debian's `postgres`, or else `nobody`. Returns undefined when this
 * process isn't root, because then its own account works.
 *
 * @throws HoldfastError `NO_UNPRIVILEGED_ACCOUNT` when root has neither
 */
export async function unprivilegedAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const failures: string[] = [];
  for (const name of UNPRIVILEGED_ACCOUNTS) {
    try {
      return { name, uid: await numericId('-u', name), gid: await numericId('-g', name) };
    } catch (error) {
      failures.push(messageOf(error).trim());
    }
  }
  throw permanent(
    'NO_UNPRIVILEGED_ACCOUNT',
    `PostgreSQL refuses to run as root, and this machine has no user ${UNPRIVILEGED_ACCOUNTS.join(' or ')}: ${failures.join('; ')}`,
    'Run this command as a user other than root, or create the user postgres.',
  );
}

async function numericId(flag: '-u' | '-g', name: string): Promise<number> {
  const { stdout } = await promisify(execFile)('id', [flag, name]);
  return Number(stdout.trim());
}
