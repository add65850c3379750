"""The simulated carrier and softphones against which `dialer demo` and the end-to-end tests run the real dialer.

An implementation apart: nothing here imports the dialer's SIP, media, store or calls, so that both ends of a test are never
the same code (docs/adr/0004-simulator.md). Real UDP SIP, real G.711 RTP.

How another program uses it:

1. Start `python -m dialer_core.sim …` (or `simulation.Simulation` in one's own loop) and wait for the line `sim_ready`.
2. Run the dialer against it. The called number's last two digits choose what happens: `behaviours.BEHAVIOURS`.
3. Stop it (SIGTERM). Its event log and recordings are complete when it has ended.
4. `log_reader.load_log(path)` gives every call with what it really was (`CallRecord.true_class`,
   `expected_outcome`, matched by Call-ID); `log_reader.hello_to_agent_ms(call)` how long a person waited;
   `log_reader.pair_calls(log)` who heard whom, by the sound alone.
5. `run_check.check_run(log, bridges)` judges the sound of every bridge that the dialer says it made, and of every
   agent's leg between them. Its parts, for other recordings: `audio_check.check_conversation`, `audio_check.strays`.
"""
