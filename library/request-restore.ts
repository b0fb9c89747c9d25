import type { Client } from '@temporalio/client';
import type { RecoveryRequest } from '../model/recovery.ts';
import type { Receipt } from '../workflows/plan-messages.ts';
import { sendToEntity } from './plan-entities.ts';

/** A request for a restore. Field names are those of `restore` messages (docs/operations.md). */
export type RestoreRequestByOthers = Pick<
  RecoveryRequest,
  'to' | 'backup' | 'nearest' | 'verified' | 'into' | 'tables' | 'replace' | 'reason' | 'requestId'
>;

/**
 * Asks a plan's entity for a restore that begins only once a person has approved it (`holdfast approve`, or the signal `approve`), even where
 * the plan's own restores need no approval. An entity of a version that doesn't know such requests refuses it.
 *
 * @throws HoldfastError `PLAN_NOT_APPLIED` (permanent): without its entity, nobody would wait for the approval; the entity's refusal
 */
export function requestRestoreOf(
  client: Client,
  plan: string,
  request: RestoreRequestByOthers,
): Promise<Receipt> {
  return sendToEntity(client, plan, 'restore', { ...request, approval: 'required' });
}
