/** A process that archives until it is killed, as the activities do it. Arguments: URL, root of the repository, database. */
import { setTimeout as sleep } from 'node:timers/promises';
import { HoldfastError } from '../../../model/errors.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { archiveContext, archiveOnce, archiveRequest } from './archiver.ts';

const RETRY_AFTER_MS = 200;

const [url = '', root = '', database = ''] = process.argv.slice(2);
const store = new DirectoryStore(root);
const { signal } = new AbortController();
for (;;) {
  try {
    await archiveOnce(await archiveContext(store, url, archiveRequest(database, root), { signal }));
  } catch (error) {
    // The source may still hold the slot for the process that was killed.
    if (!(error instanceof HoldfastError) || !error.transient) throw error;
    await sleep(RETRY_AFTER_MS);
  }
}
