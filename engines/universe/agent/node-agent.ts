import { join } from 'node:path';
import { HoldfastError } from '../../../model/errors.ts';
import type { RepositorySpec, UniverseLimits } from '../../../model/pipeline.ts';
import { Limiter } from '../../../repository/limiter.ts';
import { ObjectIndex } from '../../../repository/objects/object-index.ts';
import type { Store } from '../../../repository/store.ts';
import { readTserverFlags, readTserverUuid, TSERVER_WEB_PORT } from '../tserver.ts';
import { FileMemory } from './file-memory.ts';
import { type Roots, rootsOf } from './folders.ts';
import { ownerOf, requireOwner } from './identity.ts';
import { ProvenFiles } from './proven-files.ts';
import { RateLimit } from './rate-limit.ts';

/** The settings of one tablet server's agent. */
export interface NodeSettings {
  /** `host:port` of the tablet server's RPC, as the universe names it. */
  readonly address: string;
  /** Absent: the tablet server is asked. */
  readonly dataDirectories?: readonly string[];
  /** Port of the tablet server's web server; default 9000. */
  readonly webPort?: number;
  /** The folder in which the agent keeps its memory of sent files. */
  readonly stateDirectory: string;
}

/** What a task may take of its node. */
interface TaskShare {
  readonly limits: Pick<UniverseLimits, 'tasksPerNode'>;
  /** Absent: unlimited. */
  readonly bytesPerSecond?: number;
}

/** The agent of one tablet server: its directories, its memory of sent files, and its limits, which all tasks share. */
export class NodeAgent {
  readonly address: string;
  readonly limit = new RateLimit();
  /** Restored files that were found to equal the backup's. */
  readonly proven = new ProvenFiles();
  readonly #settings: NodeSettings;
  readonly #memories = new Map<string, Promise<FileMemory>>();
  readonly #indexes = new Map<Store, ObjectIndex>();
  readonly #limiters = new Map<string, Limiter>();
  #reportedLast: readonly string[] | undefined;

  constructor(settings: NodeSettings) {
    this.address = settings.address;
    this.#settings = settings;
  }

  /**
   * The directories of the settings, if there are any. Otherwise the tablet server is asked each time, since disks may be added. While it
   * is down its last answer holds, since its files are still there. Throws as `readTserverFlags`.
   */
  async dataDirectories(signal: AbortSignal): Promise<readonly string[]> {
    const { dataDirectories } = this.#settings;
    if (dataDirectories !== undefined) return dataDirectories;
    try {
      const flags = await readTserverFlags(this.#webAddress, signal);
      this.#reportedLast = flags.dataDirectories;
      return flags.dataDirectories;
    } catch (error) {
      if (this.#reportedLast === undefined || !(error instanceof HoldfastError)) throw error;
      return this.#reportedLast;
    }
  }

  /**
   * The directories that the tablet server names, if they are more than the agent was given. Their paths are not compared, since a container may see
   * the same disk under another path. Undefined if there are as many, or the tablet server doesn't say.
   */
  async directoriesNotGiven(signal: AbortSignal): Promise<readonly string[] | undefined> {
    const { dataDirectories } = this.#settings;
    if (dataDirectories === undefined) return undefined;
    const flags = await this.#ask(() => readTserverFlags(this.#webAddress, signal), signal);
    return flags !== undefined && flags.dataDirectories.length > dataDirectories.length
      ? flags.dataDirectories
      : undefined;
  }

  /**
   * The data directories, after a proof that they belong to the tablet server `server` (its UUID in the universe's own list). Without
   * `server` they must belong to the one that answers at the agent's address; if none answers, they can't be proved. Nothing is read,
   * written or vouched for below a directory of another tablet server.
   *
   * @throws HoldfastError `AGENT_WRONG_NODE`, `AGENT_MIXED_DIRECTORIES` (permanent), `AGENT_NO_IDENTITY` (transient); as `dataDirectories`
   */
  async provenRoots(signal: AbortSignal, server?: string): Promise<Roots & { readonly owner: string }> {
    const directories = await this.dataDirectories(signal);
    const roots = await rootsOf(directories);
    const owner = await ownerOf(roots);
    const expected = server ?? (await this.#uuidAtAddress(signal));
    if (expected !== undefined) requireOwner(this.address, owner, expected, directories);
    return { ...roots, owner };
  }

  /** Undefined if the tablet server doesn't answer, or gives no UUID. */
  #uuidAtAddress(signal: AbortSignal): Promise<string | undefined> {
    return this.#ask(() => readTserverUuid(this.#webAddress, signal), signal);
  }

  /** What the tablet server answers. Undefined if it doesn't. */
  async #ask<T>(question: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    try {
      return await question();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof HoldfastError) return undefined;
      throw error;
    }
  }

  get #webAddress(): string {
    const host = this.address.slice(0, this.address.lastIndexOf(':'));
    return `http://${host}:${this.#settings.webPort ?? TSERVER_WEB_PORT}`;
  }

  memory(repository: RepositorySpec): Promise<FileMemory> {
    const key = JSON.stringify(repository.location);
    const folder = join(
      this.#settings.stateDirectory,
      'agents',
      this.address.replaceAll(/[^A-Za-z0-9.-]/g, '_'),
    );
    const known = this.#memories.get(key) ?? FileMemory.open(folder, repository);
    this.#memories.set(key, known);
    known.catch(() => this.#memories.delete(key));
    return known;
  }

  index(store: Store): ObjectIndex {
    const known = this.#indexes.get(store) ?? new ObjectIndex(store);
    this.#indexes.set(store, known);
    return known;
  }

  /** Runs a task once fewer than `tasksPerNode` tasks run on this node. Sets this node's bytes per second to what the task's plan allows. */
  runTask<T>({ limits, bytesPerSecond }: TaskShare, work: () => Promise<T>): Promise<T> {
    this.limit.set(bytesPerSecond);
    return this.limiterOf('tasks', limits.tasksPerNode).run(work);
  }

  /** The limiter that all tasks of this node share: of `tasks`, or of one disk. A plan with another number has a limiter of its own. */
  limiterOf(what: string, count: number): Limiter {
    const key = `${what} ${count}`;
    const known = this.#limiters.get(key) ?? new Limiter(count);
    this.#limiters.set(key, known);
    return known;
  }
}
