import { HoldfastError, permanent } from '../../model/errors.ts';

/* Codes of errors for what no trusted key of the plan has signed. */

/** Nobody has signed it. */
export const UNSIGNED = 'SIGNATURE_MISSING';
/** A key signed it that the plan doesn't trust. */
export const FOREIGN = 'SIGNATURE_FOREIGN';
/** It was changed after it was signed, or its signature is invalid. */
export const FORGED = 'SIGNATURE_FORGED';

/** Who signed an object. */
export type SignatureState =
  | { readonly state: 'trusted'; readonly signer: string }
  | { readonly state: 'unsigned' }
  | { readonly state: 'foreign'; readonly signer: string }
  /** `reason` is a clause that completes "its signature …". */
  | { readonly state: 'forged'; readonly reason: string };

/** True where an object was refused because of its signature. */
export function isDistrusted(error: unknown): error is HoldfastError {
  return error instanceof HoldfastError && [UNSIGNED, FOREIGN, FORGED].includes(error.code);
}

/**
 * The refusal of an object that no trusted key signed. @param what the beginning of the sentence; for a manifest it names the
 * backup
 */
export function distrusted(
  what: string,
  found: Exclude<SignatureState, { readonly state: 'trusted' }>,
  remedy: string,
): HoldfastError {
  switch (found.state) {
    case 'unsigned':
      return permanent(UNSIGNED, `${what} is unsigned: nothing tells who wrote it.`, remedy);
    case 'foreign':
      return permanent(
        FOREIGN,
        `${what} is signed by the key ${found.signer}, which the plan does not trust.`,
        `If that key is yours, add it to \`signing.trusted\` of the Repository. Else treat it as forged. ${remedy}`,
      );
    case 'forged':
      return permanent(FORGED, `${what} is forged or was changed: its signature ${found.reason}.`, remedy);
  }
}

/** The error where this process has no key to sign with. */
export function noSigningKey(repository: string, reason: string): HoldfastError {
  return permanent(
    'SIGNING_NO_KEY',
    `This process can’t sign what it writes into ${repository}: ${reason}.`,
    'Put the key there, readable by the worker’s user (docs/signing.md says who needs it); holdfast keys signing FILE makes one.',
  );
}
