import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { messageOf, permanent } from '../../../model/errors.ts';
import type { UniverseLimits } from '../../../model/pipeline.ts';
import type {
  SavedTablet,
  SaveSummary,
  SharedObject,
  TabletFile,
  TabletName,
} from '../../../model/tablets.ts';
import { forEachBounded } from '../../../repository/bounded.ts';
import type { StoredRange } from '../../../repository/objects/object-index.ts';
import {
  ALONE_BYTES,
  PACK_BYTES,
  PART_BYTES,
  type Piece,
  type SharedObjectWriter,
} from '../../../repository/objects/object-writer.ts';
import { writeTabletResult } from '../../../repository/objects/tablet-lists.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import type { BackupContext } from '../../engine.ts';
import { type FileMemory, partIdentity, type RememberedFile, type RememberedPart } from './file-memory.ts';
import { type FoundFile, filesBelow } from './folders.ts';
import type { NodeAgent } from './node-agent.ts';
import { readFully } from './read-fully.ts';
import { requireWhole } from './whole-folder.ts';

/** Objects on their way to the store at once, for one task. */
const PUTS_AT_ONCE = 4;

const EMPTY = sha256Hex(new Uint8Array());

/** The request to save tablets of a snapshot from this node. */
export interface SaveRequest {
  readonly epoch: number;
  /** Unique within the epoch. */
  readonly task: number;
  /** Numbers the parts of a task whose tablets are saved by different replicas. The activity passes 0, since such parts are tasks of their own. */
  readonly piece: number;
  readonly tablets: readonly TabletName[];
  readonly limits: UniverseLimits;
  /** What this node may send in a second. */
  readonly bytesPerSecond?: number;
  /** UUID of the tablet server that has the replicas; absent where the universe doesn't report it, and in runs that an earlier version began. */
  readonly server?: string;
}

interface Part {
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly range: StoredRange;
}

interface ReadyFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly parts: readonly Part[];
}

/** A piece that waits for its pack to be sent. */
interface Waiting {
  readonly piece: Piece;
  stored(range: StoredRange): void;
  failed(error: unknown): void;
}

/**
 * Saves the tablets of one task. Small files are gathered into packs across tablets, so a file may be stored some time after it was read. Holds at
 * most `PUTS_AT_ONCE` objects that are being sent, one pack that is being filled, and the files being read.
 */
export class Saving {
  readonly #agent: NodeAgent;
  readonly #context: BackupContext;
  readonly #request: SaveRequest;
  readonly #memory: FileMemory;
  readonly #writer: SharedObjectWriter;
  readonly #tablets: { readonly name: TabletName; readonly files: readonly Promise<ReadyFile>[] }[] = [];
  readonly #sending = new Set<Promise<void>>();
  /** By hash and size, so that equal pieces of the task are sent once. */
  readonly #pieces = new Map<string, Promise<StoredRange>>();
  readonly #unindexed: { readonly identity: string; readonly file: RememberedFile }[] = [];
  #pack: Waiting[] = [];
  #packBytes = 0;
  #failure: { readonly error: unknown } | undefined;
  #bytes = 0;
  #files = 0;
  #sentBytes = 0;
  #sentObjects = 0;

  constructor(
    agent: NodeAgent,
    context: BackupContext,
    request: SaveRequest,
    memory: FileMemory,
    writer: SharedObjectWriter,
  ) {
    this.#agent = agent;
    this.#context = context;
    this.#request = request;
    this.#memory = memory;
    this.#writer = writer;
  }

  async add(name: TabletName, folder: { readonly root: string; readonly path: string }): Promise<void> {
    const { filesPerDisk } = this.#request.limits;
    const disk = this.#agent.limiterOf(`disk ${folder.root}`, filesPerDisk);
    const found = filesBelow(folder.path);
    await requireWhole(name.tablet, found);
    const ready = new Map<FoundFile, Promise<ReadyFile>>();
    const unknown: FoundFile[] = [];
    for (const file of found) {
      const known = this.#known(file);
      if (known === undefined) unknown.push(file);
      else ready.set(file, Promise.resolve(known));
      this.#bytes += file.sizeBytes;
    }
    this.#files += found.length;
    this.#beat();
    await forEachBounded(unknown, filesPerDisk, async (file) => {
      this.#throwIfFailed();
      const { whenStored } = await disk.run(() => this.#read(file));
      // Awaited in `finish`, after the pack that it may wait for was sent.
      whenStored.catch((error: unknown) => this.#fail(error));
      ready.set(file, whenStored);
      this.#beat();
    });
    const files = found.flatMap((file) => ready.get(file) ?? []);
    this.#tablets.push({ name, files });
  }

  async finish(): Promise<Omit<SaveSummary, 'left'>> {
    await this.#sendPack();
    await Promise.all(this.#sending);
    this.#throwIfFailed();
    const { store, ref, signal } = this.#context;
    const objects = new Map<string, SharedObject>();
    const saved: { readonly name: TabletName; readonly files: readonly ReadyFile[] }[] = [];
    for (const { name, files } of this.#tablets) saved.push({ name, files: await Promise.all(files) });
    for (const { parts } of saved.flatMap(({ files }) => files)) {
      for (const { range } of parts) objects.set(range.object.key, range.object);
    }
    // O1: the index is written before the result that relies on it.
    const index = await this.#writer.finish(new Set(objects.keys()), { signal });
    if (index !== undefined) await this.#rememberIndexed(index);
    const places = new Map([...objects.keys()].map((key, place) => [key, place]));
    const tablets = saved.map(
      ({ name, files }): SavedTablet => ({
        tablet: name.tablet,
        table: name.table,
        replica: this.#agent.address,
        files: files.map((file) => tabletFile(file, places)),
      }),
    );
    if (tablets.length > 0) {
      const { epoch, task, piece } = this.#request;
      const list = { objects: [...objects.values()], tablets };
      await writeTabletResult(store, ref, { epoch, task, piece }, list, { signal });
    }
    return {
      saved: tablets.length,
      files: this.#files,
      bytes: this.#bytes,
      sentBytes: this.#sentBytes,
      sentObjects: this.#sentObjects,
    };
  }

  /** A file that was sent before and is still stored: neither read nor hashed. */
  #known({ path, sizeBytes, identity }: FoundFile): ReadyFile | undefined {
    if (sizeBytes === 0) return { path, sizeBytes, sha256: EMPTY, parts: [] };
    const known = this.#memory.find(identity, (range) => this.#writer.vouchesFor(range));
    if (known === undefined) return undefined;
    const unindexed = known.parts.filter(({ range }) => range.index === undefined);
    if (unindexed.length > 0) {
      this.#writer.adopt(unindexed);
      this.#unindexed.push({ identity, file: known });
    }
    return { path, sizeBytes, sha256: known.sha256, parts: known.parts };
  }

  /** Reads and hashes a file, part by part, and sends what the repository lacks. */
  async #read(file: FoundFile): Promise<{ readonly whenStored: Promise<ReadyFile> }> {
    await using handle = await open(file.absolute, constants.O_RDONLY | constants.O_NOFOLLOW);
    const whole = file.sizeBytes > PART_BYTES ? createHash('sha256') : undefined;
    const parts: Promise<Part>[] = [];
    for (let start = 0; start < file.sizeBytes; start += PART_BYTES) {
      const sizeBytes = Math.min(PART_BYTES, file.sizeBytes - start);
      await this.#agent.limit.take(sizeBytes, this.#context.signal);
      const body = await readExactly(handle, file, start, sizeBytes);
      whole?.update(body);
      const piece = { body, sha256: sha256Hex(body) };
      const stored =
        whole === undefined
          ? await this.#hand(piece)
          : await this.#handPart(piece, partIdentity(file.identity, start));
      const part = stored.range.then((range) => ({ sha256: piece.sha256, sizeBytes, range }));
      // Awaited below, or never where another part fails first.
      part.catch((error: unknown) => this.#fail(error));
      parts.push(part);
      this.#throwIfFailed();
      this.#beat();
    }
    const { path, sizeBytes, identity } = file;
    const whenStored = Promise.all(parts).then(async (stored): Promise<ReadyFile> => {
      const sha256 = whole?.digest('hex') ?? stored[0]?.sha256 ?? '';
      const remembered = { sha256, parts: stored, at: Date.now() };
      await this.#remember([{ identity, file: remembered }]);
      if (stored.some(({ range }) => range.index === undefined)) {
        this.#unindexed.push({ identity, file: remembered });
      }
      return { path, sizeBytes, sha256, parts: stored };
    });
    return { whenStored };
  }

  /** As `#hand`, for a part of a large file. A part that an earlier attempt sent isn't sent again, even if no index names it yet. */
  async #handPart(piece: Piece, identity: string): Promise<{ readonly range: Promise<StoredRange> }> {
    const { sha256, body } = piece;
    const known = this.#memory.find(identity, (range) => this.#writer.vouchesFor(range));
    const [part] = known?.sha256 === sha256 ? known.parts : [];
    if (part !== undefined) {
      if (part.range.index === undefined) this.#writer.adopt([part]);
      return { range: Promise.resolve(part.range) };
    }
    const handed = await this.#hand(piece);
    const range = handed.range.then(async (stored) => {
      const parts = [{ sha256, sizeBytes: body.byteLength, range: stored }];
      await this.#remember([{ identity, file: { sha256, parts, at: Date.now() } }]);
      return stored;
    });
    return { range };
  }

  /** Has a piece stored, unless it is already; a small one waits for its pack. Returns when there is room for more. */
  async #hand(piece: Piece): Promise<{ readonly range: Promise<StoredRange> }> {
    const sizeBytes = piece.body.byteLength;
    const name = `${piece.sha256}:${sizeBytes}`;
    const underWay = this.#pieces.get(name);
    if (underWay !== undefined) return { range: underWay };
    const { signal } = this.#context;
    const remembered = this.#memory.findHash(piece.sha256, sizeBytes, (range) =>
      this.#writer.vouchesFor(range),
    );
    const found = remembered ?? (await this.#writer.find(piece.sha256, sizeBytes, { signal }));
    if (found !== undefined) return { range: Promise.resolve(found) };
    const stored = Promise.withResolvers<StoredRange>();
    stored.promise.catch((error: unknown) => this.#fail(error));
    this.#pieces.set(name, stored.promise);
    const waiting = { piece, stored: stored.resolve, failed: stored.reject };
    if (sizeBytes >= ALONE_BYTES) {
      await this.#send([waiting]);
    } else {
      this.#pack.push(waiting);
      this.#packBytes += sizeBytes;
      if (this.#packBytes >= PACK_BYTES) await this.#sendPack();
    }
    return { range: stored.promise };
  }

  async #sendPack(): Promise<void> {
    const pack = this.#pack;
    this.#pack = [];
    this.#packBytes = 0;
    if (pack.length > 0) await this.#send(pack);
  }

  /** Returns as soon as the put has begun. */
  async #send(pack: readonly Waiting[]): Promise<void> {
    while (this.#sending.size >= PUTS_AT_ONCE) await Promise.race(this.#sending);
    const sending: Promise<void> = this.#put(pack).finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
  }

  async #put(pack: readonly Waiting[]): Promise<void> {
    try {
      const pieces = pack.map(({ piece }) => piece);
      const ranges = await this.#writer.put(pieces, { signal: this.#context.signal });
      this.#sentObjects += 1;
      for (const { body } of pieces) this.#sentBytes += body.byteLength;
      for (const [place, waiting] of pack.entries()) {
        const range = ranges[place];
        if (range === undefined) throw new RangeError('a pack has fewer ranges than pieces');
        waiting.stored(range);
      }
      this.#beat();
    } catch (error) {
      for (const waiting of pack) waiting.failed(error);
    }
  }

  async #rememberIndexed(index: string): Promise<void> {
    const indexed = (part: RememberedPart): RememberedPart =>
      part.range.index === undefined ? { ...part, range: { ...part.range, index } } : part;
    await this.#remember(
      this.#unindexed.map(({ identity, file }) => ({
        identity,
        file: { ...file, parts: file.parts.map(indexed) },
      })),
    );
  }

  /** A failure to write the memory (its disk is full, say) costs hashing files again, but fails no backup. */
  async #remember(files: Parameters<FileMemory['remember']>[0]): Promise<void> {
    try {
      await this.#memory.remember(files);
    } catch (error) {
      this.#context.log('the agent can not write down what it sent', { reason: messageOf(error) });
    }
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
  }

  #throwIfFailed(): void {
    this.#context.signal.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #beat(): void {
    this.#context.heartbeat({ files: this.#files, bytes: this.#bytes, sentBytes: this.#sentBytes });
  }
}

function tabletFile(file: ReadyFile, places: ReadonlyMap<string, number>): TabletFile {
  return {
    path: file.path,
    sizeBytes: file.sizeBytes,
    sha256: file.sha256,
    parts: file.parts.map(({ range, sizeBytes, sha256 }) => ({
      object: places.get(range.object.key) ?? 0,
      offset: range.offset,
      sizeBytes,
      sha256,
    })),
  };
}

/** Throws `AGENT_FILE_CHANGED` (permanent) if the file is shorter than it was listed: a snapshot's files never change. */
async function readExactly(
  handle: FileHandle,
  file: FoundFile,
  start: number,
  sizeBytes: number,
): Promise<Buffer> {
  const body = await readFully(handle, start, sizeBytes);
  if (body !== undefined) return body;
  throw permanent(
    'AGENT_FILE_CHANGED',
    `${file.absolute} became shorter while it was read`,
    'Find out what changes the files of a snapshot; another replica is read meanwhile.',
  );
}
