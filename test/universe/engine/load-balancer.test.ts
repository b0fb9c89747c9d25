import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { UniverseRestore } from '../../../engines/universe/restore/context.ts';
import { beQuiet } from '../../../engines/universe/restore/load-balancer.ts';
import { PLAIN_RESTORE } from '../../../model/backup.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import type { Store } from '../../../repository/store.ts';
import { startUniverse, type Universe } from '../launcher.ts';
import { fill } from './contents.ts';
import { backUp, contextOf, type Rig, rightAgents, sourceOf } from './rig.ts';

/** The load balancer comes back whatever dies, and between whichever two steps. */

let universe: Universe;
let scratch: ScratchFolder;
let rig: Rig;
let backup: Awaited<ReturnType<typeof backUp>>;
/** Ends what a lost worker would have gone on with. */
const ending = new AbortController();
beforeAll(async () => {
  scratch = await createScratchFolder('load-balancer');
  universe = await startUniverse({ tservers: 1, replicationFactor: 1 });
  await fill(universe);
  await mkdir(path.join(scratch.path, 'repository'));
  const store = new DirectoryStore(path.join(scratch.path, 'repository'));
  const agents = rightAgents(universe, path.join(scratch.path, 'state'));
  rig = { universe, store, source: sourceOf(universe), agents };
  backup = await backUp(rig);
});
afterAll(async () => {
  ending.abort();
  await universe.stop();
  await scratch.remove();
});

function restoreNamed(restore: string, store: Store = rig.store): UniverseRestore {
  return {
    ...contextOf({ store }, backup.ref),
    signal: ending.signal,
    manifest: backup.manifest,
    request: {
      ...PLAIN_RESTORE,
      ...{ restore, from: backup.ref, source: rig.source, into: { shop: 'copy' } },
      ...{ scratch: false, parallelism: 1 },
    },
  };
}

/** A store that takes so many puts, and then dies. */
function thatDiesAfter(store: Store, puts: number): Store {
  let left = puts;
  return new Proxy(store, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (name !== 'put' && name !== 'delete')
        return typeof value === 'function' ? value.bind(target) : value;
      return async (...args: readonly unknown[]) => {
        if (left === 0) throw new Error('the worker died here');
        left -= 1;
        return await Reflect.apply(value as (...given: unknown[]) => unknown, target, args);
      };
    },
  });
}

const isOn = async () => (await universe.view()).loadBalancerEnabled;

test('a restore that dies while it takes over from one that died leaves word that the balancer was on', async () => {
  // The first one is lost with its worker: nobody releases.
  await beQuiet(restoreNamed('lost'));
  expect(await isOn()).toBe(false);
  // The second one dies after each number of writes that it makes, and is lost too.
  for (const puts of [0, 1, 2, 3]) {
    await beQuiet(restoreNamed(`second-${puts}`, thatDiesAfter(rig.store, puts))).catch(() => undefined);
    expect(await isOn()).toBe(false);
  }
  const third = await beQuiet(restoreNamed('third'));
  await third.release();
  expect(await isOn()).toBe(true);
});
