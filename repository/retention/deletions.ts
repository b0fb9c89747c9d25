import { z } from 'zod';
import { defined } from '../../model/defined.ts';
import { permanent } from '../../model/errors.ts';
import type { DeletionSpec } from '../../model/source.ts';
import { readStoredManifest } from '../backups/manifest.ts';
import {
  approvalKey,
  type BackupId,
  deletionFolder,
  deletionRequestKey,
  deletionsFolder,
} from '../layout.ts';
import { openSealedJson, sealSignedJson, signedTextOf } from '../sealed-json.ts';
import { sha256Hex } from '../sha256.ts';
import { namespaceOf } from '../signing/signing.ts';
import type { SigningKey } from '../signing/ssh-key.ts';
import { checkSignature, parsePublicKey, signMessage } from '../signing/ssh-signature.ts';
import type { Cancellable, Store } from '../store.ts';
import { isDamage } from '../store-errors.ts';

/*
 * A backup is deleted before its time if one of the plan's approvers asks for it and as many others as the plan requires approve. People are known by what
 * they sign, each with a key of his own; names that a process gives itself prove nothing. The next prune deletes what is approved.
 */

/** A request to delete a backup before its time. */
export interface DeletionRequest {
  readonly plan: string;
  readonly backup: string;
  /** SHA-256 of the stored manifest, so that the request doesn't hold for another backup of the same name. */
  readonly manifestSha256: string;
  readonly reason: string;
  readonly at: string;
  /** True: it was asked for since retention drops the backup, and holds only while retention does. */
  readonly dropped?: boolean | undefined;
}

const requestSchema: z.ZodType<DeletionRequest> = z.object({
  plan: z.string(),
  backup: z.string(),
  manifestSha256: z.string(),
  reason: z.string(),
  at: z.iso.datetime(),
  dropped: z.boolean().optional(),
});

const approvalSchema = z.object({
  plan: z.string(),
  backup: z.string(),
  request: z.string(),
  at: z.iso.datetime(),
});

/** A request, and who has approved it. */
export interface Deletion extends DeletionRequest {
  /** Fingerprint of the key that signed the request. */
  readonly askedBy: string;
  /** Fingerprints of the keys that have approved. The key that asked is not among them. */
  readonly approvedBy: readonly string[];
  readonly needed: number;
  /** SHA-256 of the stored request. Approvals name it. */
  readonly sha256: string;
}

/** Whether enough approvers agree. */
export function isApproved({ approvedBy, needed }: Deletion): boolean {
  return approvedBy.length >= needed;
}

/** One clause for people. */
export function deletionText({ askedBy, reason, at, approvedBy, needed }: Deletion): string {
  return `its deletion was asked for by ${askedBy} at ${at} (${reason}), with ${approvedBy.length} of ${needed} approvals`;
}

/**
 * Asks for the deletion of a backup. Throws (permanent) `DELETION_NO_APPROVER` where the key is not one of the plan's approvers, `DELETION_ASKED_ALREADY`,
 * and as `readManifest`.
 */
export async function askDeletion(
  store: Store,
  spec: DeletionSpec,
  ref: BackupId,
  key: SigningKey,
  { reason, dropped }: Pick<DeletionRequest, 'reason' | 'dropped'>,
  options: Cancellable = {},
): Promise<Deletion> {
  requireApprover(spec, key);
  const { plan, backup } = ref;
  const { sha256: manifestSha256 } = await readStoredManifest(store, ref, { ...options, signedBy: 'any' });
  const before = await findDeletion(store, spec, ref, options);
  if (before !== undefined && before.manifestSha256 === manifestSha256) {
    throw permanent(
      'DELETION_ASKED_ALREADY',
      `Of the backup ${backup} of plan ${plan}, ${deletionText(before)}.`,
      `Somebody else approves it: holdfast delete ${plan} ${backup} --approve --key FILE; --withdraw gives it up.`,
    );
  }
  const at = new Date().toISOString();
  const request: DeletionRequest = { plan, backup, manifestSha256, reason, at, ...defined({ dropped }) };
  // A request that exists is for another backup, or nobody who may ask has signed it. So it may be replaced.
  const sha256 = await putSignedBy(store, deletionRequestKey(ref), request, key, options);
  const { approvals: needed } = spec;
  return { ...request, askedBy: key.public.fingerprint, approvedBy: [], needed, sha256 };
}

/**
 * Approves a deletion that somebody else asked for. Throws (permanent) `DELETION_NOT_ASKED`, `DELETION_NO_APPROVER`, and `DELETION_OWN_REQUEST` where the
 * same key asked for it.
 */
export async function approveDeletion(
  store: Store,
  spec: DeletionSpec,
  ref: BackupId,
  key: SigningKey,
  options: Cancellable = {},
): Promise<Deletion> {
  requireApprover(spec, key);
  const { plan, backup } = ref;
  const deletion = await findDeletion(store, spec, ref, options);
  if (deletion === undefined) {
    throw permanent(
      'DELETION_NOT_ASKED',
      `Nobody who may has asked for the deletion of the backup ${backup} of plan ${plan}.`,
      `Ask first: holdfast delete ${plan} ${backup} --reason TEXT --key FILE.`,
    );
  }
  const { fingerprint } = key.public;
  if (fingerprint === deletion.askedBy) {
    throw permanent(
      'DELETION_OWN_REQUEST',
      `The key ${fingerprint} asked for the deletion of the backup ${backup}, so it can’t approve it.`,
      'Have another of the approvers look at it and approve it.',
    );
  }
  const approval = { plan, backup, request: deletion.sha256, at: new Date().toISOString() };
  await putSignedBy(store, approvalKey(ref, fingerprint), approval, key, options);
  const approvedBy = [...new Set([...deletion.approvedBy, fingerprint])];
  return { ...deletion, approvedBy };
}

/** Withdraws a request together with its approvals. */
export async function withdrawDeletion(
  store: Store,
  ref: BackupId,
  options: Cancellable = {},
): Promise<void> {
  const keys = await Array.fromAsync(store.list(deletionFolder(ref), options), ({ key }) => key);
  await store.delete(keys, options);
}

/** The request for a backup, with its approvals. Undefined where there is none that one of the approvers signed. */
export async function findDeletion(
  store: Store,
  spec: DeletionSpec,
  ref: BackupId,
  options: Cancellable = {},
): Promise<Deletion | undefined> {
  const approvers = fingerprintsOf(spec);
  const key = deletionRequestKey(ref);
  const found = await getSignedBy(store, key, requestSchema, approvers, options);
  if (found === undefined || found.value.plan !== ref.plan || found.value.backup !== ref.backup)
    return undefined;
  const approvedBy: string[] = [];
  for (const fingerprint of approvers) {
    if (fingerprint === found.signer) continue;
    const approval = await getSignedBy(
      store,
      approvalKey(ref, fingerprint),
      approvalSchema,
      approvers,
      options,
    );
    if (approval?.signer !== fingerprint || approval.value.request !== found.sha256) continue;
    approvedBy.push(fingerprint);
  }
  return { ...found.value, askedBy: found.signer, approvedBy, needed: spec.approvals, sha256: found.sha256 };
}

/** Every request of a plan. */
export async function readDeletions(
  store: Store,
  spec: DeletionSpec,
  plan: string,
  options: Cancellable = {},
): Promise<readonly Deletion[]> {
  const deletions: Deletion[] = [];
  for await (const backup of store.folders(deletionsFolder(plan), options)) {
    const deletion = await findDeletion(store, spec, { plan, backup }, options);
    if (deletion !== undefined) deletions.push(deletion);
  }
  return deletions;
}

function requireApprover(spec: DeletionSpec, { public: { fingerprint } }: SigningKey): void {
  if (fingerprintsOf(spec).has(fingerprint)) return;
  throw permanent(
    'DELETION_NO_APPROVER',
    `The key ${fingerprint} is not among the approvers that the Repository names.`,
    'Use the key of one of them, or add its public key to `deletion.approvers`.',
  );
}

function fingerprintsOf({ approvers }: DeletionSpec): ReadonlySet<string> {
  return new Set(approvers.flatMap((line) => parsePublicKey(line)?.fingerprint ?? []));
}

async function putSignedBy(
  store: Store,
  key: string,
  value: object,
  signer: SigningKey,
  options: Cancellable,
): Promise<string> {
  const body = await sealSignedJson(value, async (message) => signMessage(signer, namespaceOf(key), message));
  const sha256 = sha256Hex(body);
  await store.put(key, body, { sha256, ifAbsent: false, ...options });
  return sha256;
}

/** A signed object. Undefined where it is missing or damaged, or none of these keys signed it: then nobody who may has said it. */
async function getSignedBy<T>(
  store: Store,
  key: string,
  schema: z.ZodType<T>,
  fingerprints: ReadonlySet<string>,
  options: Cancellable,
): Promise<{ readonly value: T; readonly signer: string; readonly sha256: string } | undefined> {
  try {
    const bytes = await store.get(key, options);
    const value = openSealedJson(bytes, schema, `${key} in ${store.description}`);
    const signed = signedTextOf(bytes);
    const check = signed && checkSignature(signed.signature, namespaceOf(key), signed.message);
    if (check?.isValid !== true || !fingerprints.has(check.signer.fingerprint)) return undefined;
    return { value, signer: check.signer.fingerprint, sha256: sha256Hex(bytes) };
  } catch (error) {
    if (isDamage(error)) return undefined;
    throw error;
  }
}
