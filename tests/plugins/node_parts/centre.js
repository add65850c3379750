// A message centre by the npm package smpp: it binds who knows the word, takes messages, and tells of each that it arrived.
// What comes is written to standard output, a JSON object a line; {"deliver": {...}} on standard input hands something over.
"use strict";
const path = require("node:path");
const readline = require("node:readline");
const smpp = require(path.join(process.argv[2], "smpp"));

const tell = (what) => process.stdout.write(JSON.stringify(what) + "\n");
let bound = null;
let ids = 0;

const server = smpp.createServer((session) => {
  session.on("error", (error) => tell({ error: error.code || String(error) }));
  session.on("close", () => tell({ closed: true }));
  session.on("bind_transceiver", (pdu) => {
    const known = pdu.system_id === "acme" && pdu.password === "secret";
    session.send(pdu.response({ command_status: known ? smpp.ESME_ROK : smpp.ESME_RBINDFAIL }));
    if (known) bound = session;
    tell({ bound: known });
  });
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("unbind", (pdu) => {
    session.send(pdu.response());
    session.close();
  });
  session.on("submit_sm", (pdu) => {
    if (pdu.destination_addr === "520000000000") {
      session.send(pdu.response({ command_status: smpp.ESME_RINVDSTADR }));
      return;
    }
    const id = `n${++ids}`;
    const said = pdu.short_message;
    tell({
      submit: {
        id, to: pdu.destination_addr, from: pdu.source_addr, text: said.message, parts: (said.udh || []).map((one) => [...one]),
        coding: pdu.data_coding, receipt: pdu.registered_delivery,
      },
    });
    session.send(pdu.response({ message_id: id }));
    session.deliver_sm({
      source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
      short_message: `id:${id} sub:001 dlvrd:001 submit date:2611220900 done date:2611220901 stat:DELIVRD err:000 text:`,
    }, (answer) => tell({ receipt: id, status: answer.command_status }));
  });
});

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { deliver } = JSON.parse(line);
  bound.deliver_sm(deliver, (answer) => tell({ delivered: answer.command_status }));
});
process.stdin.on("end", () => process.exit(0));
server.listen(Number(process.argv[3]), "127.0.0.1", () => tell({ listening: true }));
