/** A process that archives until it is killed. Arguments: URL, root of the repository, database. */
import { DirectoryStore } from '../../../repository/directory.ts';
import { archiveContext, archiveOnce, archiveRequest } from './archiver.ts';

const [url = '', root = '', database = ''] = process.argv.slice(2);
const store = new DirectoryStore(root);
const { signal } = new AbortController();
const context = await archiveContext(store, url, archiveRequest(database, root), { signal });
await archiveOnce(context);
