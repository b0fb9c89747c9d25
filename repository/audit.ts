import { z } from 'zod';
import type { Act, AuditAction, AuditEntry } from '../model/audit.ts';
import { defined } from '../model/defined.ts';
import { messageOf, permanent } from '../model/errors.ts';
import { auditFolder, auditKey } from './layout.ts';
import { openSealedJson } from './sealed-json.ts';
import { sha256Hex } from './sha256.ts';
import { isDistrusted } from './signing/errors.ts';
import { requireTrusted, sealFor } from './signing/signed-object.ts';
import type { Cancellable, Store } from './store.ts';
import { ifWhole, isDamage } from './store-errors.ts';

/*
 * The log of a plan says who did what, and why. Each entry is an object of its own, whose name is its number. It is written by a conditional put and
 * contains the SHA-256 of the entry before, so one that is changed, taken out or put in later is noticed. That the newest entries were taken away is not:
 * for that somebody has to know the number and the SHA-256 of a later one.
 */

const ATTEMPTS = 20;
const ENTRY = /\/(\d{9,12})\.json$/;

const ACTIONS = [
  ...['plan-applied', 'plan-removed', 'approve', 'pause', 'resume', 'cancel', 'restore', 'hold', 'release'],
  ...['deletion-asked', 'deletion-approved', 'deletion-withdrawn', 'repository-repaired'],
  ...['repository-undone', 'register-acknowledged', 'keys-rewrapped'],
] as const satisfies readonly AuditAction[];

const entrySchema: z.ZodType<AuditEntry> = z.object({
  formatVersion: z.literal(1),
  plan: z.string(),
  number: z.int().positive(),
  at: z.iso.datetime(),
  action: z.enum(ACTIONS),
  by: z.string(),
  subject: z.string().exactOptional(),
  reason: z.string().exactOptional(),
  before: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .exactOptional(),
});

/**
 * Adds an entry to the log of a plan. Throws `AUDIT_BUSY` (permanent) where others write all the time, and in a signed repository as `Signing.sign`.
 */
export async function recordAct(
  store: Store,
  plan: string,
  act: Act,
  options: Cancellable = {},
): Promise<AuditEntry> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const last = (await numbersOf(store, plan, options)).at(-1) ?? 0;
    const before = last === 0 ? undefined : await digestOf(store, auditKey(plan, last), options);
    const entry: AuditEntry = {
      ...{ formatVersion: 1, plan, number: last + 1, at: new Date().toISOString() },
      ...act,
      ...defined({ before }),
    };
    const key = auditKey(plan, entry.number);
    const body = await sealFor(store, key, entry);
    const sha256 = sha256Hex(body);
    if ((await store.put(key, body, { sha256, ifAbsent: true, ...options })) === 'created') return entry;
    // The answer to our own put may have been lost and the put repeated.
    if ((await digestOf(store, key, options)) === sha256) return entry;
  }
  throw permanent(
    'AUDIT_BUSY',
    `The log of plan ${plan} in ${store.description} was written by others ${ATTEMPTS} times while this tried to.`,
    'Run it again; if it stays so, find out who writes there.',
  );
}

/** The log of a plan. */
export interface AuditLog {
  /** Those that can be read, the oldest first. */
  readonly entries: readonly AuditEntry[];
  /** What is wrong with the chain, one sentence each. Empty: every entry is the one that its successor names. */
  readonly problems: readonly string[];
  /** The newest entry that is there. Absent: there is none. */
  readonly head?: { readonly number: number; readonly sha256: string };
}

/** Reads the log of a plan and checks its chain, and in a signed repository every signature. */
export async function readAudit(store: Store, plan: string, options: Cancellable = {}): Promise<AuditLog> {
  const entries: AuditEntry[] = [];
  const problems: string[] = [];
  let head: AuditLog['head'];
  for (const number of await numbersOf(store, plan, options)) {
    const missing = number - (head?.number ?? 0) - 1;
    if (missing > 0)
      problems.push(
        `${missing === 1 ? 'An entry is' : `${missing} entries are`} missing before entry ${number}.`,
      );
    const { sha256, entry, problem } = await readEntry(store, plan, number, options);
    if (problem !== undefined) problems.push(problem);
    if (entry !== undefined) {
      entries.push(entry);
      if (missing === 0 && entry.before !== head?.sha256)
        problems.push(
          `Entry ${number} does not follow the entry before it: one of the two was changed, or put there later.`,
        );
    }
    head = { number, sha256 };
  }
  return { entries, problems, ...defined({ head }) };
}

/** An entry, with the SHA-256 of what is stored; of one that can't be read, the reason. */
async function readEntry(
  store: Store,
  plan: string,
  number: number,
  options: Cancellable,
): Promise<{ readonly sha256: string; readonly entry?: AuditEntry; readonly problem?: string }> {
  const key = auditKey(plan, number);
  let sha256 = '';
  try {
    const bytes = await store.get(key, options);
    sha256 = sha256Hex(bytes);
    await requireTrusted(store, key, bytes, options);
    const entry = openSealedJson(bytes, entrySchema, `${key} in ${store.description}`);
    if (entry.plan === plan && entry.number === number) return { sha256, entry };
    return {
      sha256,
      problem: `Entry ${number} is that of another place: number ${entry.number} of plan ${entry.plan}.`,
    };
  } catch (error) {
    if (!isDamage(error) && !isDistrusted(error)) throw error;
    return { sha256, problem: `Entry ${number}: ${messageOf(error)}` };
  }
}

/** Undefined where the entry is damaged or was just taken away. */
async function digestOf(store: Store, key: string, options: Cancellable): Promise<string | undefined> {
  const bytes = await ifWhole(store.get(key, options));
  return bytes === undefined ? undefined : sha256Hex(bytes);
}

async function numbersOf(store: Store, plan: string, options: Cancellable): Promise<readonly number[]> {
  const numbers: number[] = [];
  for await (const { key } of store.list(auditFolder(plan), options)) {
    const [, digits] = ENTRY.exec(key) ?? [];
    if (digits !== undefined) numbers.push(Number(digits));
  }
  return numbers.sort((one, other) => one - other);
}
