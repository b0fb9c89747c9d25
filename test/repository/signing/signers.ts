import { permanent } from '../../../model/errors.ts';
import { ClearStore } from '../../../repository/encryption/clear-store.ts';
import { Signing } from '../../../repository/signing/signing.ts';
import { newSigningKey } from '../../../repository/signing/ssh-key.ts';
import type { Store } from '../../../repository/store.ts';

/** Somebody with a signing key. */
export interface Signer {
  /** Text of the key file. */
  readonly file: string;
  /** As a plan names it. */
  readonly publicLine: string;
}

export function newSigner(name = 'backup-1'): Signer {
  return newSigningKey(name);
}

/** What a process with this signer's key does in a repository whose plan trusts these. */
export function signingOf(signer: Signer | undefined, trusted: readonly Signer[]): Signing {
  const spec = { key: { env: 'SIGNING_KEY' }, trusted: trusted.map(({ publicLine }) => publicLine) };
  return new Signing(
    spec,
    async () => {
      if (signer !== undefined) return signer.file;
      throw permanent('SECRET_MISSING', 'SIGNING_KEY is not set on this worker', 'Set it.');
    },
    'the repository main',
  );
}

/** The door to a clear repository. @param signer absent: a worker without the key */
export function signedStore(raw: Store, signer: Signer | undefined, trusted: readonly Signer[]): Store {
  return new ClearStore(raw, signingOf(signer, trusted));
}
