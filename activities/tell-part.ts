import { AsyncLocalStorage } from 'node:async_hooks';
import type { TellPart } from '../engines/engine.ts';

/** How the activity that runs here tells its trace of parts of its work. Nothing is there where it isn't traced. */
export const partTeller = new AsyncLocalStorage<TellPart>();
