package cli

// The most used options of the commands that capture, by task, as their help prints them:
// lines of at most 80 columns. {outputs} stands for a line for each output. --help all has
// every option with its default.

// whatAndWhere is the same for interfaces and files.
const whatAndWhere = `WHAT TO WRITE
      --format FORMAT         text (default on a terminal), json (default in a
                              pipe or file), csv, csv_no_header, json-flat,
                              json-ocsf or gotemplate
      --jsonfields FIELDS     add interface, direction, vlan, tunnel, samplerate
                              or dnstap
      --masksize4 24          keep 24 bits of IPv4 addresses; also --masksize6
      --timezone local        times in local time instead of UTC
      --malformed drop        leave out messages that are damaged

WHERE TO WRITE
  Records go to stdout unless an output is switched on:
{outputs}
      --skipdomainsfile FILE  domains that an output of type 2 leaves out
`

const attachTasks = `
WHAT TO CAPTURE
  -i, --interface NAME        the same as the argument; repeat for several
      --port PORT             port that carries DNS, 53 by default; 53,853: both
  -c, --count NUMBER          stop after this number of records
      --promiscuous           also see packets for other hosts (mirror ports)
      --tap                   drop what arrives, after recording (mirror ports)
      --decap KINDS           also look inside tunnels, such as vxlan,gre
      --sampleratio 1:100     record 1 of every 100 packets
      --dedup                 record a packet only once if it is seen twice

` + whatAndWhere + `      --spooldir FOLDER       keep on disk what an output cannot take now

LOG, METRICS, CONFIGURATION
  -v, --verbose               longer lines with dates, full ledgers at the end
      --stats 10s             a line of rates and losses every 10 seconds
      --metricprometheusendpoint http://127.0.0.1:2112/metrics
      --config FILE           read options from a configuration file
`

const replayTasks = `
WHAT TO READ
  -r, --read FILE             the same as the argument; repeat for several
      --port PORT             port that carries DNS, 53 by default; 53,853: both
  -c, --count NUMBER          stop after this number of records
      --ordered               write records in the order of the files
      --speed 1               read at the speed of the recording; 10: ten times
      --sampleratio 1:100     record 1 of every 100 packets
      --dedup                 record a packet only once if it is seen twice
      --noetherframe          packets of Ethernet files start with the IP header
      --dnstaptypes client    of a dnstap file only what clients ask and get; or
                              resolver, auth, forwarder, stub, tool, update
      --dnstapboth            both messages of a dnstap frame that has two

` + whatAndWhere + `
LOG, METRICS, CONFIGURATION
  -v, --verbose               longer lines with dates, full ledgers at the end
      --progress=false        no line of progress on a terminal
      --stats 10s             a line of rates and losses every 10 seconds
      --config FILE           read options from a configuration file
`

const dnstapTasks = `
WHAT TO RECEIVE
      unix://PATH             a socket that the server must be able to write to
      --dnstapgroup GROUP     group of the socket's file
      --dnstappermission 0770 mode of the socket's file; 755 by default
      tcp://HOST:PORT, tls://HOST:PORT
      --dnstapcertfile FILE, --dnstapkeyfile FILE            needed for tls://
      --dnstapcafile FILE     servers must have a certificate signed by this CA
      --dial                  connect to a server that listens at the address
      --dnstaptypes client    only what the server's clients ask and get; also
                              resolver, auth, forwarder, stub, tool, update
      --dnstapboth            both messages of a frame that has two
  -c, --count NUMBER          stop after this number of records
      --sampleratio 1:100     record 1 of every 100 messages

` + whatAndWhere + `      --spooldir FOLDER       keep on disk what an output cannot take now

LOG, METRICS, CONFIGURATION
  -v, --verbose               longer lines with dates, full ledgers at the end
      --stats 10s             a line of rates and losses every 10 seconds
      --metricprometheusendpoint http://127.0.0.1:2112/metrics
      --config FILE           read options from a configuration file
`

const runTasks = `
CONFIGURATION
      --config FILE           read options from a configuration file
      --writeconfig FILE      write the current options to a file; -: stdout
  "config check FILE" says what is wrong with a file, and what it changes.

WHAT TO CAPTURE
      --devname INTERFACE     capture from an interface; any: from all
      --pcapfile FILE         read a capture file; -: stdin
      --dnstapsocket ADDRESS  listen for servers that report by dnstap; see also
                              --dnstapgroup, --dnstappermission, --dnstaptypes
      --port PORT             port that carries DNS, 53 by default; 53,853: both
      --nopromiscuous         see only packets from and for this host
      --decap KINDS           also look inside tunnels, such as vxlan,gre
      --sampleratio 1:100     record 1 of every 100 packets
      --dedup                 record a packet only once if it is seen twice

WHAT TO WRITE
  An output is on if its type is 1 (all records), 2 (domains that are not on the
  skip list), 3 (domains that are on the allow list) or 4 (both):
      --stdoutoutputtype 1    records on stdout; see --stdoutoutputformat
{outputs}
      --skipdomainsfile FILE, --allowdomainsfile FILE        the lists
      --masksize4 24          keep 24 bits of IPv4 addresses; also --masksize6
      --servername NAME       name of this sensor in records and metrics
      --spooldir FOLDER       keep on disk what an output cannot take now

LOG, METRICS, CONFIGURATION
      --metricprometheusendpoint http://127.0.0.1:2112/metrics
      --metricstatsdagent HOST:PORT
      --stats 10s             a line of rates and losses every 10 seconds
      --loglevel 2            less on stderr: warnings and errors only
`
