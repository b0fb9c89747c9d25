import { cp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { messageOf } from '../../../model/errors.ts';
import { createScratchFolder } from '../../../parts/scratch.ts';
import { verifyBackup } from '../../../repository/backups/verify.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { Dice } from '../../crash/dice.ts';

/*
 * Backups of earlier versions, one of each engine and one with a pack, with one file damaged at a time: `verify --level content` must find it. A damage that
 * it calls OK is one that a restore would take for the truth.
 */

const FIXTURES = path.join(import.meta.dirname, '../../fixtures/backups');
const BACKUPS = ['ysql', 'packs', 'ycql', 'universe'] as const;

/**
 * Of the repository, not of a backup: records of verifications, and the index, which saves work at the next backup and is passed over where
 * it is damaged (repository/objects/object-index.ts).
 */
const BESIDE = ['verified', 'index', 'repository.json'];

export interface DamageCampaign {
  readonly seed: number;
  readonly cases: number;
  readonly say: (line: string) => void;
}

export interface DamageOutcome {
  readonly tried: number;
  /** Cases by kind of damage. */
  readonly counts: Readonly<Record<string, number>>;
  /** Damages that passed as OK, and verifications that broke off with an error that is no verdict. */
  readonly problems: readonly string[];
}

export type Damage = (bytes: Buffer, dice: Dice, other: Buffer) => Buffer | undefined;

/** Undefined: the file is deleted. */
export const DAMAGES: Readonly<Record<string, Damage>> = {
  'a bit flipped': (bytes, dice) => {
    const at = position(bytes, dice);
    return changed(bytes, at, [(bytes[at] ?? 0) ^ (1 << Math.floor(dice.between(0, 8)))]);
  },
  'a byte exchanged': (bytes, dice) => {
    const at = position(bytes, dice);
    return changed(bytes, at, [((bytes[at] ?? 0) + 1 + Math.floor(dice.between(0, 255))) & 0xff]);
  },
  'a block of zeros': (bytes, dice) => {
    const at = position(bytes, dice);
    return changed(bytes, at, new Array(Math.min(512, bytes.length - at)).fill(0));
  },
  'two bytes swapped': (bytes, dice) => {
    const at = Math.min(position(bytes, dice), Math.max(0, bytes.length - 2));
    return changed(bytes, at, [bytes[at + 1] ?? 0, bytes[at] ?? 0]);
  },
  'its end cut off': (bytes, dice) => bytes.subarray(0, position(bytes, dice)),
  'a byte put in': (bytes, dice) => {
    const at = position(bytes, dice);
    return Buffer.concat([bytes.subarray(0, at), Buffer.from([0x20]), bytes.subarray(at)]);
  },
  'a byte taken out': (bytes, dice) => {
    const at = position(bytes, dice);
    return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
  },
  'another file in its place': (_bytes, _dice, other) => other,
  'been deleted': () => undefined,
};

function position(bytes: Buffer, dice: Dice): number {
  return Math.floor(dice.between(0, bytes.length));
}

function changed(bytes: Buffer, at: number, by: readonly number[]): Buffer {
  const copy = Buffer.from(bytes);
  copy.set(by, at);
  return copy;
}

export async function runDamageCampaign({ seed, cases, say }: DamageCampaign): Promise<DamageOutcome> {
  const dice = new Dice(seed);
  const scratch = await createScratchFolder('damage');
  const counts: Record<string, number> = {};
  const problems: string[] = [];
  try {
    await cp(FIXTURES, scratch.path, { recursive: true });
    const stages = await Promise.all(
      BACKUPS.map((backup) => stageOf(path.join(scratch.path, backup), backup)),
    );
    for (let tried = 0; tried < cases; tried += 1) {
      const { root, ref, files } = dice.pick(stages);
      const file = dice.pick(files);
      const kind = dice.pick(Object.keys(DAMAGES));
      const bytes = await readFile(file);
      const damaged = DAMAGES[kind]?.(bytes, dice, await readFile(dice.pick(files)));
      if (damaged?.equals(bytes)) continue;
      counts[kind] = (counts[kind] ?? 0) + 1;
      await (damaged === undefined ? rm(file) : writeFile(file, damaged));
      const told = await verdictOf(root, ref);
      await writeFile(file, bytes);
      if (told === 'FAILED') continue;
      const problem = `${path.relative(scratch.path, file)} (${kind}): ${told}`;
      problems.push(problem);
      say(problem);
    }
  } finally {
    await scratch.remove();
  }
  return { tried: Object.values(counts).reduce((sum, count) => sum + count, 0), counts, problems };
}

interface Stage {
  readonly root: string;
  readonly ref: { readonly plan: string; readonly backup: string };
  /** Those that belong to the backup. */
  readonly files: readonly string[];
}

async function stageOf(root: string, plan: string): Promise<Stage> {
  const [backup = ''] = await readdir(path.join(root, 'backups', plan));
  const files: string[] = [];
  for (const name of await readdir(root, { recursive: true })) {
    const file = path.join(root, name);
    const isOfBackup = !BESIDE.some((prefix) => name.startsWith(prefix));
    if (isOfBackup && (await stat(file)).isFile()) files.push(file);
  }
  return { root, ref: { plan, backup }, files: files.sort() };
}

async function verdictOf(root: string, ref: Stage['ref']): Promise<string> {
  try {
    return (await verifyBackup(new DirectoryStore(root), ref, 'content')).verdict;
  } catch (error) {
    return `no verdict: ${messageOf(error)}`;
  }
}
