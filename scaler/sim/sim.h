/* `roost-scaler sim`: the policy and its rivals in virtual time, on the same traffic.
 *
 * Flags and output: sim_main's --help. Same flags, same bytes out. Exit: 0, 1 when a file cannot be read or written, 2
 * when a flag or the trace is wrong. */
#ifndef ROOST_SCALER_SIM_SIM_H
#define ROOST_SCALER_SIM_SIM_H

/* argv[0] is "sim". */
int sim_main(int argc, char **argv);

#endif
