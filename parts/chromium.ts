import { permanent } from '../model/errors.ts';
import { orInstall, type Report } from './debian.ts';
import { findOnPath } from './path.ts';

const MISSING = 'CHROMIUM_MISSING';

/** Fonts of the tests' own, so that pages look the same on a machine without any. */
const PACKAGES = ['chromium', 'fonts-dejavu-core', 'fonts-liberation'];

const PROGRAMS = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/** The path of Chromium, which is installed first if it is missing and this user may install it. Throws `CHROMIUM_MISSING`. */
export function ensureChromium(report?: Report): Promise<string> {
  return orInstall(findChromium, [MISSING], PACKAGES, report);
}

async function findChromium(): Promise<string> {
  for (const name of PROGRAMS) {
    const found = await findOnPath(name);
    if (found !== undefined) return found;
  }
  throw permanent(
    MISSING,
    'no Chromium on this machine',
    'Install it: `apt-get install chromium` on Debian and Ubuntu, `brew install --cask chromium` on macOS.',
  );
}
