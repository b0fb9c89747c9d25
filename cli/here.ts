import type { Access } from '../library/access.ts';
import { say } from './output.ts';

/** A command's access: this process's environment, and stderr for what the library has to tell. */
export const HERE: Access = { environment: process.env, tell: say };
