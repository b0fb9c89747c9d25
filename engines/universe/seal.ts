import type { ReadPoint } from '../../model/backup.ts';
import { permanent } from '../../model/errors.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import type { TabletList } from '../../model/tablets.ts';
import { writeTabletManifest } from '../../repository/backups/write-manifest.ts';
import { mapBounded } from '../../repository/bounded.ts';
import { listTabletResults, readTabletResult } from '../../repository/objects/tablet-lists.ts';
import {
  readTabletBatch,
  readTabletWorkList,
  type TabletWorkList,
} from '../../repository/objects/tablet-work.ts';
import type { BackupContext, SealingParts } from '../engine.ts';
import { universeKit } from './restore-kit.ts';

const RESULTS_AT_ONCE = 16;

/**
 * Returns what the agents saved. Its `writeManifest` makes sure that this is every tablet of the list: it throws `TABLETS_MISSING` (permanent),
 * naming the first that nobody saved.
 */
export async function collect(
  context: BackupContext,
  _source: UniverseSource,
  { epoch }: ReadPoint,
): Promise<SealingParts> {
  const { store, ref, signal, heartbeat } = context;
  const workList = await readTabletWorkList(store, ref, epoch, { signal });
  const { server, databases, commonObjects, universe } = workList;
  const wanted = await tabletsOf(context, workList);
  return {
    description: { server, contents: 'all', databases, commonObjects, universe },
    kit: () => universeKit(ref, server.version, databases, universe),
    writeManifest: (draft) =>
      writeTabletManifest(store, draft, savedLists(context, epoch, wanted), { signal, heartbeat }),
  };
}

async function tabletsOf(context: BackupContext, { shards }: TabletWorkList): Promise<Set<string>> {
  const tablets = new Set<string>();
  for (const batch of shards) {
    const { tablets: some } = await readTabletBatch(context.store, context.ref, batch, {
      signal: context.signal,
    });
    for (const { id } of some) tablets.add(id);
    context.heartbeat();
  }
  return tablets;
}

/** The results in their order, each tablet once: the first result that has a tablet counts. */
async function* savedLists(
  context: BackupContext,
  epoch: number,
  wanted: Set<string>,
): AsyncGenerator<TabletList> {
  const { store, ref, signal } = context;
  const keys = await listTabletResults(store, ref, epoch, { signal });
  const read = (key: string) => readTabletResult(store, key, { signal });
  for await (const list of mapBounded(keys, RESULTS_AT_ONCE, read)) {
    const tablets = list.tablets.filter(({ tablet }) => wanted.delete(tablet));
    context.heartbeat();
    yield { ...list, tablets };
  }
  const [first] = wanted;
  if (first === undefined) return;
  throw permanent(
    'TABLETS_MISSING',
    `${wanted.size} tablets of the snapshot were saved by nobody, the first being ${first}`,
    'Run the backup again, and report this: it is a mistake in Holdfast.',
  );
}
