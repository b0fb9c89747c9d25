import type { ArchiveRequest } from '../../../model/archive.ts';
import type { ArchiveLease } from '../../../repository/archive/lease.ts';
import type { Store } from '../../../repository/store.ts';
import type { VerbContext } from '../../engine.ts';

/** What a verb of an archive works with. */
export interface ArchiveContext extends VerbContext {
  readonly request: ArchiveRequest;
  readonly store: Store;
  readonly lease: ArchiveLease;
}
