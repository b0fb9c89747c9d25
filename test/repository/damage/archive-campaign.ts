import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { verifyArchive } from '../../../engines/ysql/archive/verify.ts';
import { lsnOf, positionOf } from '../../../model/archive.ts';
import { messageOf } from '../../../model/errors.ts';
import { createScratchFolder } from '../../../parts/scratch.ts';
import { segmentKey } from '../../../repository/archive/names.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { Dice } from '../../crash/dice.ts';
import { DAMAGES, type DamageCampaign, type DamageOutcome } from './campaign.ts';
import { ARCHIVE, putArchive, TIMELINE, writtenSegments } from './stored-archive.ts';
import { ONLY_REPLAY_SEES, WRITTEN_WRONGLY } from './written-wrongly.ts';

/*
 * An archive of changes of any shape, with one damage at a time: of a file, of the chain of segments, or of what a capture with a fault
 * wrote with right checksums. `verify --level content` must find it. What only a replay can see is counted for itself, and must
 * not be taken for damage of the store.
 */

export async function runArchiveDamageCampaign({ seed, cases, say }: DamageCampaign): Promise<DamageOutcome> {
  const dice = new Dice(seed);
  const scratch = await createScratchFolder('archive-damage');
  const counts: Record<string, number> = {};
  const problems: string[] = [];
  try {
    for (let each = 0; each < cases; each += 1) {
      const root = path.join(scratch.path, String(each));
      await mkdir(root);
      const { kind, expected } = await oneCase(root, dice);
      if (kind !== undefined) {
        counts[kind] = (counts[kind] ?? 0) + 1;
        const told = await verdictOf(root);
        if (told !== expected) {
          const problem = `archive of case ${each} (${kind}): ${told} instead of ${expected}`;
          problems.push(problem);
          say(problem);
        }
      }
      await rm(root, { recursive: true });
    }
  } finally {
    await scratch.remove();
  }
  return { tried: Object.values(counts).reduce((sum, count) => sum + count, 0), counts, problems };
}

interface Case {
  /** Undefined: the damage changed nothing. */
  readonly kind: string | undefined;
  readonly expected: 'OK' | 'FAILED';
}

async function oneCase(root: string, dice: Dice): Promise<Case> {
  const store = new DirectoryStore(root);
  const sound = writtenSegments(dice, 3 + Math.floor(dice.between(0, 5)));
  const family = dice.pick(['a file', 'the chain', 'what was written', 'a row'] as const);
  if (family === 'what was written' || family === 'a row') {
    const wrongs = family === 'a row' ? ONLY_REPLAY_SEES : WRITTEN_WRONGLY;
    const kind = dice.pick(Object.keys(wrongs));
    const at = sound.findIndex(({ transactions }) => transactions > 1);
    const wrong = at < 0 ? undefined : wrongs[kind]?.(sound[at] ?? never());
    const isSame = family === 'a row' && wrong?.messages.length === sound[at]?.messages.length;
    if (wrong === undefined || wrong.messages.length === 0 || isSame)
      return { kind: undefined, expected: 'OK' };
    await putArchive(
      store,
      sound.map((segment, index) => (index === at ? wrong : segment)),
    );
    return { kind, expected: family === 'a row' ? 'OK' : 'FAILED' };
  }
  const stored = await putArchive(store, sound);
  if (family === 'a file') return await damageFile(root, dice);
  const [one, other] = [dice.pick(stored.slice(1)), dice.pick(stored)];
  if (dice.chance(0.5)) {
    const range = {
      ...one,
      endLsn: lsnOf(positionOf(other.endLsn) + BigInt(1 + Math.floor(dice.between(0, 99)))),
    };
    await writeFile(
      path.join(root, segmentKey(ARCHIVE, TIMELINE.id, range)),
      await readFile(path.join(root, one.key)),
    );
    return { kind: 'a segment doubled under another range', expected: 'FAILED' };
  }
  if (one === other) return { kind: undefined, expected: 'OK' };
  const [a, b] = [path.join(root, one.key), path.join(root, other.key)];
  const [bytesA, bytesB] = [await readFile(a), await readFile(b)];
  await writeFile(a, bytesB);
  await writeFile(b, bytesA);
  return { kind: 'the contents of two segments exchanged', expected: 'FAILED' };
}

/** The first segment may go, as retention drops it, and the end, since a timeline without one goes on: their loss is no damage. */
async function damageFile(root: string, dice: Dice): Promise<Case> {
  const files: string[] = [];
  for (const name of (await readdir(root, { recursive: true })).sort()) {
    const file = path.join(root, name);
    if ((await stat(file)).isFile()) files.push(file);
  }
  const first = files.find((file) => path.basename(file).startsWith('s-'));
  const file = dice.pick(files);
  const kind = dice.pick(Object.keys(DAMAGES));
  const bytes = await readFile(file);
  const damaged = DAMAGES[kind]?.(bytes, dice, await readFile(dice.pick(files)));
  if (damaged?.equals(bytes)) return { kind: undefined, expected: 'OK' };
  if (damaged === undefined) {
    if (file === first || file.endsWith('end.json')) return { kind: undefined, expected: 'OK' };
    await rm(file);
  } else await writeFile(file, damaged);
  return { kind, expected: 'FAILED' };
}

async function verdictOf(root: string): Promise<string> {
  try {
    const { signal } = new AbortController();
    const { verdict, problems } = await verifyArchive(new DirectoryStore(root), ARCHIVE.plan, 'content', {
      signal,
    });
    return verdict === 'INCONCLUSIVE' ? `INCONCLUSIVE: ${problems.join('; ')}` : verdict;
  } catch (error) {
    return `no verdict: ${messageOf(error)}`;
  }
}

function never(): never {
  throw new Error('no such segment');
}
