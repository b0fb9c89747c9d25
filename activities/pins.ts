import { activityInfo, log } from '@temporalio/activity';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { BackupRef } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { HoldfastError, messageOf } from '../model/errors.ts';
import { DAY_MS } from '../model/time.ts';
import { type Pin, putPin, removePin } from '../repository/retention/pins.ts';
import type { Repositories } from './repositories.ts';

/** How long a pin counts if its reader's Temporal can't be asked. No restore takes so long. */
const PIN_MS = 30 * DAY_MS;

/** Records in the repository what is being read, so that retention deletes no backup while it is read. */
export class Pins {
  readonly #repositories: Repositories;
  readonly #client: Client;
  #namespace: Promise<string | undefined> | undefined;

  constructor(repositories: Repositories, client: Client) {
    this.#repositories = repositories;
    this.#client = client;
  }

  /**
   * Pins a backup for the workflow that runs this activity, before anything of the backup is read. If the pin can't be written (no
   * permission, a store that is full or read-only), the reader goes on: an emergency restore must not fail because of a pin.
   *
   * Throws `BACKUP_BEING_DELETED` (permanent), and transient errors.
   */
  async pin(ref: BackupRef, reader = workflowOfActivity()): Promise<void> {
    const now = Date.now();
    const namespaceId = await this.#namespaceId();
    const pin: Pin = {
      plan: ref.plan,
      backup: ref.backup,
      reader,
      workflowId: workflowOfActivity(),
      ...defined({ namespaceId }),
      pinnedAt: new Date(now).toISOString(),
      expiresAt: new Date(now + PIN_MS).toISOString(),
    };
    try {
      await putPin(await this.#repositories.look(ref.repository), pin);
    } catch (error) {
      if (!isRefusedWrite(error)) throw error;
      log.warn(`${ref.backup} is read without a pin: ${messageOf(error)}`);
    }
  }

  /** Removes a pin. One that can't be removed counts until its workflow has ended. */
  async unpin(ref: BackupRef, reader = workflowOfActivity()): Promise<void> {
    try {
      await removePin(await this.#repositories.look(ref.repository), { ...ref, reader });
    } catch (error) {
      if (!isRefusedWrite(error)) throw error;
      log.info(`the pin of ${ref.backup} stays until its run has ended: ${messageOf(error)}`);
    }
  }

  /** Runs `read` while this activity has the backup pinned. */
  async whilePinned<T>(ref: BackupRef, read: () => Promise<T>): Promise<T> {
    const reader = `${workflowOfActivity()}#${activityInfo().activityId}`;
    await this.pin(ref, reader);
    try {
      return await read();
    } finally {
      await this.unpin(ref, reader);
    }
  }

  /** Whether the reader of a pin may still be alive. Where its Temporal can't be asked, that is so until the pin expires. */
  async isLive(pin: Pin): Promise<boolean> {
    const known = pin.namespaceId !== undefined && pin.namespaceId === (await this.#namespaceId());
    if (!known) return Date.parse(pin.expiresAt) > Date.now();
    try {
      const { status } = await this.#client.workflow.getHandle(pin.workflowId).describe();
      return status.name === 'RUNNING';
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return false;
      throw error;
    }
  }

  /** Id of this Temporal's namespace, which distinguishes one Temporal from another. Undefined where this client may not ask. */
  #namespaceId(): Promise<string | undefined> {
    this.#namespace ??= this.#client.workflowService
      .describeNamespace({ namespace: this.#client.options.namespace })
      .then(({ namespaceInfo }) => namespaceInfo?.id ?? undefined)
      .catch((error: unknown) => {
        log.info(`which Temporal this is, is not known: ${messageOf(error)}`);
        this.#namespace = undefined;
        return undefined;
      });
    return this.#namespace;
  }
}

/** True for a failure that only keeps the pin from being written: writing needs a permission and space, and reading needs neither. */
function isRefusedWrite(error: unknown): boolean {
  if (!(error instanceof HoldfastError) || error.code === 'BACKUP_BEING_DELETED') return false;
  return !error.transient || error.code === 'STORE_FULL';
}

function workflowOfActivity(): string {
  const run = activityInfo().workflowExecution;
  if (run === undefined) throw new Error('this must run as an activity of a workflow');
  return run.workflowId;
}
