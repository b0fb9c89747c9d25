import { z } from 'zod';
import { HoldfastError, permanent } from '../../model/errors.ts';
import { type BackupListing, isSuspect, listBackups } from '../backups/list-backups.ts';
import { findManifest } from '../backups/manifest.ts';
import { type BackupId, registerFolder, registerKey } from '../layout.ts';
import { sha256Hex } from '../sha256.ts';
import type { Cancellable, Store } from '../store.ts';
import { ifWhole, isDamage, staysForPrune } from '../store-errors.ts';
import { getTrustedIfThere, sealFor } from './signed-object.ts';

/*
 * The register of a plan is a signed list of the backups that there should be. So a backup that somebody hides, or brings back, is noticed. A new register with
 * the next number is written when a backup is finished (before its manifest and once more after it), when a prune deletes one (before its manifest goes), and
 * when one is signed later. Manifests name the number of the register that their writer knew, so a register that was put back to an older one is noticed too.
 */

/** How many older registers stay beside the newest, for people. */
const FORMER_KEPT = 2;
const ATTEMPTS = 20;
const REGISTER = /\/(\d{9,12})\.json$/;
/** An entry whose manifest doesn't come within this time is dropped: its run was given up, or its manifest would be older than any grace time. */
const UNSEEN_FOR_MS = 7 * 24 * 3_600_000;

/** A backup as the register lists it. */
export interface RegisteredBackup {
  readonly backup: string;
  /** SHA-256s of the manifests that its writers were about to write. One of them is stored. */
  readonly sha256: readonly string[];
  readonly enteredAt: string;
  /** True: the writer of a later register has seen its manifest. Until then the backup may not have been finished. */
  readonly seen?: true;
}

/** One version of the register of a plan. */
export interface Register {
  readonly formatVersion: 1;
  readonly plan: string;
  readonly number: number;
  readonly writtenAt: string;
  /** In the order in which they were finished. */
  readonly backups: readonly RegisteredBackup[];
  /** When a register was begun anew although existing backups name an earlier one, which was lost or taken away. */
  readonly lostBefore?: string;
}

const registerSchema: z.ZodType<Register> = z.object({
  formatVersion: z.literal(1),
  plan: z.string(),
  number: z.int().positive(),
  writtenAt: z.iso.datetime(),
  backups: z.array(
    z.object({
      backup: z.string(),
      sha256: z.array(z.string().regex(/^[0-9a-f]{64}$/)),
      enteredAt: z.iso.datetime(),
      seen: z.literal(true).exactOptional(),
    }),
  ),
  lostBefore: z.iso.datetime().exactOptional(),
});

/** The newest register of a plan that a trusted key signed. Undefined where there is none. Skips all others: anybody can put one there. */
export async function readRegister(
  store: Store,
  plan: string,
  options: Cancellable = {},
): Promise<Register | undefined> {
  for (const number of (await numbersOf(store, plan, options)).reverse()) {
    const register = await readNumber(store, plan, number, options);
    if (register !== undefined) return register;
  }
  return undefined;
}

/**
 * The register with this number. Undefined where it is missing, damaged or not trusted. A register of another plan or number isn't trusted here, since its
 * signature holds for its own name alone.
 */
async function readNumber(
  store: Store,
  plan: string,
  number: number,
  options: Cancellable,
): Promise<Register | undefined> {
  const key = registerKey(plan, number);
  return await ifWhole(getTrustedIfThere(store, key, registerSchema, options));
}

async function numbersOf(store: Store, plan: string, options: Cancellable): Promise<number[]> {
  const numbers: number[] = [];
  for await (const { key } of store.list(registerFolder(plan), options)) {
    const [, digits] = REGISTER.exec(key) ?? [];
    if (digits !== undefined) numbers.push(Number(digits));
  }
  return numbers.sort((one, other) => one - other);
}

/** Enters a backup whose manifest is about to be written. Does nothing where the plan doesn't say that the repository is signed. */
export async function enterRegister(
  store: Store,
  ref: BackupId,
  sha256: string,
  options: Cancellable = {},
): Promise<void> {
  if (store.signing === undefined) return;
  await changeRegister(store, ref.plan, options, (backups) => {
    const known = backups.find(({ backup }) => backup === ref.backup);
    if (known?.sha256.includes(sha256)) return backups;
    const others = backups.filter((entry) => entry !== known);
    const enteredAt = known?.enteredAt ?? new Date().toISOString();
    return [...others, { backup: ref.backup, sha256: [...(known?.sha256 ?? []), sha256], enteredAt }];
  });
}

/** Notes that the manifest of a backup exists. From now on, its absence is reported. Does nothing where the plan doesn't say that the repository is signed. */
export async function confirmRegister(store: Store, ref: BackupId, options: Cancellable = {}): Promise<void> {
  if (store.signing === undefined) return;
  await changeRegister(store, ref.plan, options, (backups) =>
    backups.some(({ backup, seen }) => backup === ref.backup && seen !== true) ? [...backups] : backups,
  );
}

/** Strikes out a backup that is about to be deleted. Does nothing where the plan doesn't say that the repository is signed. */
export async function leaveRegister(store: Store, ref: BackupId, options: Cancellable = {}): Promise<void> {
  if (store.signing === undefined) return;
  await changeRegister(store, ref.plan, options, (backups) =>
    backups.some(({ backup }) => backup === ref.backup)
      ? backups.filter(({ backup }) => backup !== ref.backup)
      : backups,
  );
}

/** Makes the register say what exists now. For a person who has looked at what was missing or came back. Throws as `listBackups`. */
export async function acknowledgeRegister(
  store: Store,
  { plan }: { readonly plan: string },
  options: Cancellable = {},
): Promise<void> {
  const { backups, sha256 } = await listBackups(store, plan, options);
  const found = backups.map(({ backup }): RegisteredBackup => {
    const known = sha256.get(backup);
    return {
      backup,
      sha256: known === undefined ? [] : [known],
      enteredAt: new Date().toISOString(),
      seen: true,
    };
  });
  // The listing has the newest backup first, and the register the oldest.
  const named = Math.max(0, ...backups.map(({ register = 0 }) => register));
  await changeRegister(store, plan, options, () => found.toReversed(), { acknowledges: true, above: named });
}

async function changeRegister(
  store: Store,
  plan: string,
  options: Cancellable,
  change: (backups: readonly RegisteredBackup[]) => readonly RegisteredBackup[],
  { acknowledges = false, above = 0 }: { readonly acknowledges?: boolean; readonly above?: number } = {},
): Promise<void> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const known = await readRegister(store, plan, options);
    const begun = known ?? (await begunAnew(store, plan, options));
    const changed = change(begun.backups);
    if (known !== undefined && changed === known.backups) return;
    const { lostBefore } = begun;
    const next: Register = {
      formatVersion: 1,
      plan,
      number: Math.max(begun.number, above) + 1,
      writtenAt: new Date().toISOString(),
      backups: acknowledges ? changed : await withSeen(store, plan, changed, options),
      ...(lostBefore === undefined || acknowledges ? {} : { lostBefore }),
    };
    if (await write(store, next, options)) return;
  }
  throw permanent(
    'REGISTER_BUSY',
    `The register of the backups of plan ${plan} in ${store.description} was changed by others ${ATTEMPTS} times while this run tried to.`,
    'Run it again; if it stays so, find out who writes there.',
  );
}

/** Writes a register. Returns false where another writer was faster. */
async function write(store: Store, register: Register, options: Cancellable): Promise<boolean> {
  const { plan, number } = register;
  const key = registerKey(plan, number);
  const body = await sealFor(store, key, register);
  const put = { sha256: sha256Hex(body), ...options };
  if ((await store.put(key, body, { ...put, ifAbsent: true })) === 'exists') {
    // A register that no trusted key signed may be replaced.
    if ((await readNumber(store, plan, number, options)) !== undefined) return false;
    await store.put(key, body, { ...put, ifAbsent: false });
    if (sha256Hex(await store.get(key, options)) !== put.sha256) return false;
  }
  await removeFormer(store, plan, number, options);
  return true;
}

async function removeFormer(store: Store, plan: string, newest: number, options: Cancellable): Promise<void> {
  const numbers = await numbersOf(store, plan, options);
  const former = numbers.filter((number) => number < newest - FORMER_KEPT);
  if (former.length === 0) return;
  try {
    await store.delete(
      former.map((number) => registerKey(plan, number)),
      options,
    );
  } catch (error) {
    // These credentials may not delete, or not yet. A prune will.
    if (!staysForPrune(error)) throw error;
  }
}

/**
 * What the first register of a plan starts from. If backups name an earlier register, every register from now on says that it was lost, until a person has
 * looked.
 */
async function begunAnew(
  store: Store,
  plan: string,
  options: Cancellable,
): Promise<Pick<Register, 'number' | 'backups' | 'lostBefore'>> {
  const { backups } = await listBackups(store, plan, options);
  const number = Math.max(0, ...backups.map(({ register = 0 }) => register));
  const isLost = backups.some(({ register }) => register !== undefined);
  return { number, backups: [], ...(isLost ? { lostBefore: new Date().toISOString() } : {}) };
}

/** Looks for the manifests of entries that are not `seen` yet: as a rule only the last backup's. */
async function withSeen(
  store: Store,
  plan: string,
  backups: readonly RegisteredBackup[],
  options: Cancellable,
): Promise<readonly RegisteredBackup[]> {
  const entries: RegisteredBackup[] = [];
  for (const entry of backups) {
    const state = entry.seen ? 'there' : await stateOf(store, { plan, backup: entry.backup }, options);
    if (state === 'there') entries.push({ ...entry, seen: true });
    else if (state === 'absent' && Date.now() - Date.parse(entry.enteredAt) < UNSEEN_FOR_MS)
      entries.push(entry);
  }
  return entries;
}

/** `there`: the manifest's key holds something other than a tombstone. */
async function stateOf(
  store: Store,
  ref: BackupId,
  options: Cancellable,
): Promise<'there' | 'absent' | 'discarded'> {
  try {
    return (await findManifest(store, ref, { ...options, signedBy: 'any' })) === undefined
      ? 'absent'
      : 'there';
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    if (error.code === 'BACKUP_DISCARDED') return 'discarded';
    if (isDamage(error) || error.code === 'FORMAT_TOO_NEW') return 'there';
    throw error;
  }
}

/** How a register and its repository differ. */
export interface RegisterReport {
  /** One sentence each. Empty: they agree. */
  readonly problems: readonly string[];
  /** The problems that concern one backup, by its name. */
  readonly about: ReadonlyMap<string, readonly string[]>;
  /** The problems that don't concern this backup. */
  readonly others: (backup: string) => readonly string[];
}

/**
 * Compares the register of a plan with an earlier listing of its backups. Undefined where the plan doesn't say that the repository is signed. Checks each
 * difference once more, since a backup may have been finished or deleted meanwhile.
 */
export async function compareRegister(
  store: Store,
  plan: string,
  listing: BackupListing,
  options: Cancellable = {},
): Promise<RegisterReport | undefined> {
  if (store.signing === undefined) return undefined;
  const register = await readRegister(store, plan, options);
  const remedy = `Look into older versions of the bucket, or a copy. When you know why: holdfast sign ${plan} --acknowledge makes the register say what is there.`;
  const general = (register === undefined ? withoutRegister(listing) : ofRegister(register, listing)).map(
    (problem) => `${problem} ${remedy}`,
  );
  const about = new Map<string, readonly string[]>();
  for (const { backup } of listing.backups) {
    const problem = register && (await problemOf(store, register, backup, listing, options));
    if (problem !== undefined) about.set(backup, [`${problem} ${remedy}`]);
  }
  for (const backup of register === undefined ? [] : await hiddenFrom(store, register, listing, options)) {
    about.set(backup, [
      `Backup ${backup} should be there, and its manifest is gone without a prune having deleted it. ${remedy}`,
    ]);
  }
  const others = (but: string) => [
    ...general,
    ...[...about].flatMap(([backup, problems]) => (backup === but ? [] : problems)),
  ];
  return { problems: [...general, ...[...about.values()].flat()], about, others };
}

function withoutRegister({ backups }: BackupListing): readonly string[] {
  if (!backups.some(({ register }) => register !== undefined)) return [];
  const listed = new Set(backups.map(({ backup }) => backup));
  return [
    'The register of backups is gone, so nobody can tell whether backups were hidden or brought back.',
    ...backups.flatMap(({ backup, predecessor }) =>
      predecessor === undefined || listed.has(predecessor.backup)
        ? []
        : [
            `Backup ${backup} names ${predecessor.backup} as the one before it, which is gone: deleted by a prune, or hidden.`,
          ],
    ),
  ];
}

function ofRegister({ number, lostBefore }: Register, { backups }: BackupListing): readonly string[] {
  const named = Math.max(0, ...backups.map(({ register = 0 }) => register));
  return [
    ...(number < named
      ? [
          `The register of backups is number ${number}, and a backup names number ${named}: it was put back to an older one.`,
        ]
      : []),
    ...(lostBefore === undefined
      ? []
      : [
          `The register of backups was lost before ${lostBefore} and begun anew: what was there before is not known.`,
        ]),
  ];
}

/** What is wrong with an existing backup. Undefined where the register has it as it is. */
async function problemOf(
  store: Store,
  register: Register,
  backup: string,
  { sha256 }: BackupListing,
  options: Cancellable,
): Promise<string | undefined> {
  const entry = register.backups.find((registered) => registered.backup === backup);
  const digest = sha256.get(backup);
  if (entry !== undefined) {
    if (digest === undefined || entry.sha256.includes(digest)) return undefined;
    return `Backup ${backup} is signed, and the register of backups has another one of this name.`;
  }
  if ((await stateOf(store, { plan: register.plan, backup }, options)) !== 'there') return undefined;
  return `Backup ${backup} is signed, and not in the register of backups: it was deleted and somebody brought it back, or its deletion was cut off and the next prune ends it.`;
}

/** Backups in the register whose manifest was seen and is now gone. */
async function hiddenFrom(
  store: Store,
  { plan, backups: registered }: Register,
  { backups, unusable }: BackupListing,
  options: Cancellable,
): Promise<readonly string[]> {
  const present = new Set([...backups, ...unusable.filter(isSuspect)].map(({ backup }) => backup));
  const hidden: string[] = [];
  for (const { backup, seen } of registered) {
    const ref = { plan, backup };
    if (seen !== true || present.has(backup) || (await stateOf(store, ref, options)) === 'there') continue;
    // A prune strikes a backup out first. It may have done so after the register was read.
    if (await isRegistered(store, ref, options)) hidden.push(backup);
  }
  return hidden;
}

/**
 * Whether the plan's register has a backup of this name whose manifest it has seen. A prune strikes a backup out before its manifest goes. False where the plan
 * doesn't say that the repository is signed.
 */
export async function isSeen(store: Store, ref: BackupId, options: Cancellable): Promise<boolean> {
  if (store.signing === undefined) return false;
  const register = await readRegister(store, ref.plan, options);
  return register?.backups.some(({ backup, seen }) => backup === ref.backup && seen === true) ?? false;
}

/** Whether the plan's register has a backup of this name. */
export async function isRegistered(store: Store, ref: BackupId, options: Cancellable): Promise<boolean> {
  const register = await readRegister(store, ref.plan, options);
  return register?.backups.some(({ backup }) => backup === ref.backup) ?? false;
}

/** What a manifest says of the backups before it: the number of the register that its writer knows, and the last backup in that. */
export async function predecessorOf(
  store: Store,
  ref: BackupId,
  options: Cancellable = {},
): Promise<{
  readonly register?: number;
  readonly predecessor?: { readonly backup: string; readonly sha256: string };
}> {
  if (store.signing === undefined) return {};
  const register = await readRegister(store, ref.plan, options);
  const before = register?.backups.findLast(({ backup }) => backup !== ref.backup);
  const sha256 = before && (await digestOf(store, { plan: ref.plan, backup: before.backup }, options));
  return {
    register: register?.number ?? 0,
    ...(before === undefined || sha256 === undefined
      ? {}
      : { predecessor: { backup: before.backup, sha256 } }),
  };
}

/** SHA-256 of a stored manifest. Undefined where the manifest is gone or no trusted key signed it. */
async function digestOf(store: Store, ref: BackupId, options: Cancellable): Promise<string | undefined> {
  try {
    return (await findManifest(store, ref, options))?.sha256;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.transient) throw error;
    return undefined;
  }
}
