import { resolveSecret } from '../engines/resolve-secret.ts';
import type { BackupRef, DataObject, TransferTask } from '../model/backup.ts';
import type { Manifest } from '../model/manifest.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { readDataObjects, readManifest } from '../repository/backups/manifest.ts';
import { readBatch, readWorkList } from '../repository/backups/work.ts';
import { isWork } from '../repository/layout.ts';
import { openStore } from '../repository/open.ts';
import { RememberingStore } from '../repository/remembering.ts';
import { ensureRepository } from '../repository/repository.ts';
import type { Store } from '../repository/store.ts';

/** How many backups' manifests and lists stay in memory: enough for the restores that one worker takes part in. */
const BACKUPS_KEPT = 4;
/** How many batches of work lists (at most 500 tasks each) stay in memory. */
const BATCHES_KEPT = 8;
/**
 * Memory for each repository's work lists and results that this worker wrote: some thousand tasks. A worker that makes a backup by itself then seals it without
 * reading them.
 */
const WORK_KEPT_BYTES = 4 * 1024 * 1024;

/** The stores, manifests and work lists that this process uses, each read once and shared by its slots. */
export class Repositories {
  readonly #stores = new Memory<Store>(Number.POSITIVE_INFINITY);
  readonly #repositories = new Memory<Store>(Number.POSITIVE_INFINITY);
  readonly #backups = new Memory<OpenBackup>(BACKUPS_KEPT);
  readonly #batches = new Memory<readonly TransferTask[]>(BATCHES_KEPT);

  /** Opens a repository for writing. Creates it if it doesn't exist yet. */
  open(spec: RepositorySpec): Promise<Store> {
    return this.#repositories.get(placeOf(spec), async () => {
      const store = await this.look(spec);
      await ensureRepository(store);
      return new RememberingStore(store, { remembers: isWork, limitBytes: WORK_KEPT_BYTES });
    });
  }

  /** Opens a repository for reading. Creates nothing. */
  look(spec: RepositorySpec): Promise<Store> {
    return this.#stores.get(placeOf(spec), () => openStore(spec, resolveSecret));
  }

  /** The tasks of a batch. A work list never changes once it exists. */
  batch(ref: BackupRef, epoch: number, batch: number): Promise<readonly TransferTask[]> {
    return this.#batches.get([...placeOf(ref.repository), ref.plan, ref.backup, epoch, batch], async () => {
      const store = await this.open(ref.repository);
      return readBatch(store, ref, await readWorkList(store, ref, epoch), batch);
    });
  }

  /** The manifest of a complete backup with its data objects, verified. */
  backup(ref: BackupRef): Promise<OpenBackup> {
    return this.#backups.get([...placeOf(ref.repository), ref.plan, ref.backup], async () => {
      const store = await this.open(ref.repository);
      const manifest = await readManifest(store, ref);
      let dataObjects: Promise<readonly DataObject[]> | undefined;
      return {
        store,
        manifest,
        dataObjects: () => {
          dataObjects ??= Array.fromAsync(readDataObjects(store, manifest));
          return dataObjects;
        },
      };
    });
  }

  async close(): Promise<void> {
    for (const store of await this.#stores.made()) await store.close();
  }
}

interface OpenBackup {
  readonly store: Store;
  readonly manifest: Manifest;
  dataObjects(): Promise<readonly DataObject[]>;
}

/** What two specs must share to be served by one open store: the place, and how it is encrypted and signed. */
function placeOf({ location, encryption, signing }: RepositorySpec): readonly unknown[] {
  return [location, encryption, signing];
}

/** Keeps the latest `limit` results of `make`; a failure is not kept. */
class Memory<T> {
  readonly #entries = new Map<string, Promise<T>>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(parts: readonly unknown[], make: () => Promise<T>): Promise<T> {
    const key = JSON.stringify(parts);
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.#entries.set(key, made);
    made.catch(() => this.#entries.delete(key));
    if (this.#entries.size > this.#limit) {
      const [oldest] = this.#entries.keys();
      if (oldest !== undefined) this.#entries.delete(oldest);
    }
    return made;
  }

  async made(): Promise<readonly T[]> {
    const settled = await Promise.allSettled(this.#entries.values());
    return settled.filter((entry) => entry.status === 'fulfilled').map((entry) => entry.value);
  }
}
