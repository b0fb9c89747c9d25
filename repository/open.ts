import type { DirectoryLocation, S3Location } from '../model/pipeline.ts';
import { DirectoryStore } from './directory.ts';
import { S3Store } from './s3.ts';
import type { SecretResolver } from './s3-client.ts';
import type { Store } from './store.ts';

/**
 * Opens the store at a location without touching it yet; close it after use.
 *
 * @param secret reads the credentials that the location refers to, where this worker has them.
 */
export async function openStore(
  location: S3Location | DirectoryLocation,
  secret: SecretResolver,
): Promise<Store> {
  switch (location.kind) {
    case 'directory':
      return new DirectoryStore(location.path);
    case 's3':
      return S3Store.open(location, secret);
  }
}
