import fc from 'fast-check';

/*
 * The same cases in every run of `npm test`, so that a verdict changes with the code only. To look further:
 * `PROPERTY_SEED=$RANDOM npx jest test/compiler/properties`; what fails prints its seed.
 */
fc.configureGlobal({ seed: Number(process.env.PROPERTY_SEED ?? 20261128) });
