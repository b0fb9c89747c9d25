import { resolveSecret } from '../engines/resolve-secret.ts';
import type { BackupRef, DataObject, TransferTask } from '../model/backup.ts';
import type { Manifest } from '../model/manifest.ts';
import type { RepositorySpec } from '../model/pipeline.ts';
import { readDataObjects, readManifest } from '../repository/backups/manifest.ts';
import { readBatch, readWorkList } from '../repository/backups/work.ts';
import { BoundedCache } from '../repository/bounded-cache.ts';
import { isWork } from '../repository/layout.ts';
import { openStore } from '../repository/open.ts';
import { RememberingStore } from '../repository/remembering.ts';
import { ensureRepository } from '../repository/repository.ts';
import type { Store } from '../repository/store.ts';

/** Memory for manifests of backups that are being restored, and as much for their lists: two backups of 10,000 tables each, or hundreds of small ones. */
const BACKUPS_KEPT_BYTES = 16 * 1024 * 1024;
/** Memory for batches of work lists. A batch has at most 500 tasks: half a MiB where tables are large, 20 MiB of small tables. */
const BATCHES_KEPT_BYTES = 8 * 1024 * 1024;
/**
 * Memory for each repository's work lists and results that this worker wrote: some thousand tasks. A worker that makes a backup by itself then seals it without
 * reading them.
 */
const WORK_KEPT_BYTES = 4 * 1024 * 1024;

/** The stores, manifests and work lists that this process uses, each read once and shared by its slots. */
export class Repositories {
  readonly #stores = new Memory<Store>();
  readonly #repositories = new Memory<Store>();
  readonly #manifests: BoundedCache<Manifest>;
  readonly #dataObjects: BoundedCache<readonly DataObject[]>;
  readonly #batches = new BoundedCache<readonly TransferTask[]>(BATCHES_KEPT_BYTES);

  /** @param backupsKeptBytes most memory for manifests, and most for lists of data objects */
  constructor(backupsKeptBytes = BACKUPS_KEPT_BYTES) {
    this.#manifests = new BoundedCache(backupsKeptBytes);
    this.#dataObjects = new BoundedCache(backupsKeptBytes);
  }

  /** About how many bytes of heap the manifests, lists and batches take. */
  get keptBytes(): number {
    return this.#manifests.keptBytes + this.#dataObjects.keptBytes + this.#batches.keptBytes;
  }

  /** Opens a repository for writing. Creates it if it doesn't exist yet. */
  open(spec: RepositorySpec): Promise<Store> {
    return this.#repositories.get(nameOf(spec), async () => {
      const store = await this.look(spec);
      await ensureRepository(store);
      return new RememberingStore(store, { remembers: isWork, limitBytes: WORK_KEPT_BYTES });
    });
  }

  /** Opens a repository for reading. Creates nothing. */
  look(spec: RepositorySpec): Promise<Store> {
    return this.#stores.get(nameOf(spec), () => openStore(spec, resolveSecret));
  }

  /** The tasks of a batch. A work list never changes once it exists. */
  batch(ref: BackupRef, epoch: number, batch: number): Promise<readonly TransferTask[]> {
    return this.#batches.get(nameOf(ref.repository, ref.plan, ref.backup, epoch, batch), async () => {
      const store = await this.open(ref.repository);
      return readBatch(store, ref, await readWorkList(store, ref, epoch), batch);
    });
  }

  /** The manifest of a complete backup with its data objects, verified. */
  async backup(ref: BackupRef): Promise<OpenBackup> {
    const store = await this.open(ref.repository);
    const name = nameOf(ref.repository, ref.plan, ref.backup);
    const manifest = await this.#manifests.get(name, () => readManifest(store, ref));
    return {
      store,
      manifest,
      dataObjects: () => this.#dataObjects.get(name, () => Array.fromAsync(readDataObjects(store, manifest))),
    };
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
function nameOf(
  { location, encryption, signing }: RepositorySpec,
  ...within: readonly (string | number)[]
): string {
  return JSON.stringify([location, encryption, signing, ...within]);
}

/** Keeps what was made; a failure is not kept. */
class Memory<T> {
  readonly #entries = new Map<string, Promise<T>>();

  get(name: string, make: () => Promise<T>): Promise<T> {
    const known = this.#entries.get(name);
    if (known !== undefined) return known;
    const made = make();
    this.#entries.set(name, made);
    made.catch(() => this.#entries.delete(name));
    return made;
  }

  async made(): Promise<readonly T[]> {
    const settled = await Promise.allSettled(this.#entries.values());
    return settled.filter((entry) => entry.status === 'fulfilled').map((entry) => entry.value);
  }
}
