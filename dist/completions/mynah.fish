# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mynah_global_optspecs
    string join \n h/help V/version
end

function __fish_mynah_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mynah_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mynah_using_subcommand
    set -l cmd (__fish_mynah_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mynah -n "__fish_mynah_needs_command" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_needs_command" -s V -l version -d 'Print version'
complete -c mynah -n "__fish_mynah_needs_command" -f -a "serve" -d 'Run the server: every protocol on this machine, unless told otherwise'
complete -c mynah -n "__fish_mynah_needs_command" -f -a "config" -d 'Show the configuration: what there is to set, and what is set'
complete -c mynah -n "__fish_mynah_needs_command" -f -a "chat" -d 'Talk to others through a server'
complete -c mynah -n "__fish_mynah_needs_command" -f -a "bench" -d 'Measure a server: members of any protocol come in, talk, and count every delivery'
complete -c mynah -n "__fish_mynah_needs_command" -f -a "ctl" -d 'Keep order in a running server: see who is in, kick, ban, speak to all, stop'
complete -c mynah -n "__fish_mynah_needs_command" -f -a "account" -d 'Make and change accounts, whether a server runs or not'
complete -c mynah -n "__fish_mynah_needs_command" -f -a "top" -d 'Watch a server: its figures live in this terminal'
complete -c mynah -n "__fish_mynah_needs_command" -f -a "bench-floor" -d 'The bare write loop that `bench` measures beside a server'
complete -c mynah -n "__fish_mynah_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mynah -n "__fish_mynah_using_subcommand serve" -l config -d 'Read settings from this file in TOML, and no other; - is standard input' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand serve" -l listen -d 'Listen for a protocol on an address: tcp-room, group, udp-room, udp-login, tcrp, ucrp, udp-mesh or metrics; repeatable; port 0 lets the kernel choose; only what is named is opened [default: all but udp-mesh, on 127.0.0.1]' -r
complete -c mynah -n "__fish_mynah_using_subcommand serve" -l data-dir -d 'Where what outlives the process is kept [default: $STATE_DIRECTORY, or mynah in the XDG state directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand serve" -l log-level -d 'What is told on standard error: off, error, warn, info, debug or trace, and levels of their own for parts of the program, as info,store=debug,server::driver=off [default: info]' -r
complete -c mynah -n "__fish_mynah_using_subcommand serve" -l registration -d 'Who may make an account [default: open]' -r -f -a "open\t'By anybody, a few an hour per address'
closed\t'By nobody: those that are in the file are all'"
complete -c mynah -n "__fish_mynah_using_subcommand serve" -l advertise -d 'Which address of a group participant the others are told [default: connection]' -r -f -a "connection\t'The one that it comes from'
claimed\t'The one that it says: for members behind a translation who know better. A stranger\'s machine may be named'"
complete -c mynah -n "__fish_mynah_using_subcommand serve" -l mesh-name -d 'What the mesh gateway is called [default: mynah]' -r
complete -c mynah -n "__fish_mynah_using_subcommand serve" -l mesh-broadcast -d 'Where the mesh gateway\'s broadcasts go [default: 255.255.255.255]' -r
complete -c mynah -n "__fish_mynah_using_subcommand serve" -l parent -d 'End when this process does, which has started us' -r
complete -c mynah -n "__fish_mynah_using_subcommand serve" -l isolate -d 'Give each protocol rooms and names of its own'
complete -c mynah -n "__fish_mynah_using_subcommand serve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mynah -n "__fish_mynah_using_subcommand config; and not __fish_seen_subcommand_from default check help" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand config; and not __fish_seen_subcommand_from default check help" -f -a "default" -d 'Print a configuration file with all keys, their defaults and what they are, commented out'
complete -c mynah -n "__fish_mynah_using_subcommand config; and not __fish_seen_subcommand_from default check help" -f -a "check" -d 'Read the configuration as `serve` with the same flags would, and print what holds and where each value comes from; exit status 78 if something is wrong'
complete -c mynah -n "__fish_mynah_using_subcommand config; and not __fish_seen_subcommand_from default check help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from default" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -l config -d 'Read settings from this file in TOML, and no other; - is standard input' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -l listen -d 'Listen for a protocol on an address: tcp-room, group, udp-room, udp-login, tcrp, ucrp, udp-mesh or metrics; repeatable; port 0 lets the kernel choose; only what is named is opened [default: all but udp-mesh, on 127.0.0.1]' -r
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -l data-dir -d 'Where what outlives the process is kept [default: $STATE_DIRECTORY, or mynah in the XDG state directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -l log-level -d 'What is told on standard error: off, error, warn, info, debug or trace, and levels of their own for parts of the program, as info,store=debug,server::driver=off [default: info]' -r
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -l registration -d 'Who may make an account [default: open]' -r -f -a "open\t'By anybody, a few an hour per address'
closed\t'By nobody: those that are in the file are all'"
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -l advertise -d 'Which address of a group participant the others are told [default: connection]' -r -f -a "connection\t'The one that it comes from'
claimed\t'The one that it says: for members behind a translation who know better. A stranger\'s machine may be named'"
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -l mesh-name -d 'What the mesh gateway is called [default: mynah]' -r
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -l mesh-broadcast -d 'Where the mesh gateway\'s broadcasts go [default: 255.255.255.255]' -r
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -l parent -d 'End when this process does, which has started us' -r
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -l isolate -d 'Give each protocol rooms and names of its own'
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "default" -d 'Print a configuration file with all keys, their defaults and what they are, commented out'
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "check" -d 'Read the configuration as `serve` with the same flags would, and print what holds and where each value comes from; exit status 78 if something is wrong'
complete -c mynah -n "__fish_mynah_using_subcommand config; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and not __fish_seen_subcommand_from tcp-room group udp-room udp-login tcrp udp-mesh help" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and not __fish_seen_subcommand_from tcp-room group udp-room udp-login tcrp udp-mesh help" -f -a "tcp-room" -d 'Binary frames over TCP, one room'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and not __fish_seen_subcommand_from tcp-room group udp-room udp-login tcrp udp-mesh help" -f -a "group" -d 'Lines over TCP, one room, and conversations with one member without the server'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and not __fish_seen_subcommand_from tcp-room group udp-room udp-login tcrp udp-mesh help" -f -a "udp-room" -d 'Text over UDP, one room'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and not __fish_seen_subcommand_from tcp-room group udp-room udp-login tcrp udp-mesh help" -f -a "udp-login" -d 'Text over UDP, one room, with accounts; the password crosses the network in clear'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and not __fish_seen_subcommand_from tcp-room group udp-room udp-login tcrp udp-mesh help" -f -a "tcrp" -d 'Rooms with a host: asked for over TCP, talked in over UDP'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and not __fish_seen_subcommand_from tcp-room group udp-room udp-login tcrp udp-mesh help" -f -a "udp-mesh" -d 'A local network without a server: everybody hears everybody\'s broadcasts'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and not __fish_seen_subcommand_from tcp-room group udp-room udp-login tcrp udp-mesh help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from tcp-room" -l name -d 'How others see you; asked for on a terminal' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from tcp-room" -l json -d 'Print events as JSON, one object a line'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from tcp-room" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from group" -l name -d 'How others see you; asked for on a terminal' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from group" -l no-p2p -d 'Refuse to talk with others without the server: nobody may connect to us'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from group" -l json -d 'Print events as JSON, one object a line'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from group" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-room" -l local-port -d 'Our own port; any but 9999, which is the server\'s [default: any free one]' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-room" -l name -d 'How others see you; asked for on a terminal' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-room" -l json -d 'Print events as JSON, one object a line'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-room" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-login" -l password-file -d 'Read the password from the first line of this file; otherwise it comes from MYNAH_PASSWORD or is asked for on a terminal' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-login" -l name -d 'How others see you; asked for on a terminal' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-login" -l json -d 'Print events as JSON, one object a line'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-login" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from tcrp" -l create -d 'Open this room and be its host: it closes when you leave' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from tcrp" -l join -d 'Enter this room' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from tcrp" -l ucrp -d 'Where the server takes datagrams [default: its host, at its port plus one]' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from tcrp" -l name -d 'How others see you; asked for on a terminal' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from tcrp" -l json -d 'Print events as JSON, one object a line'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from tcrp" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-mesh" -l bind -d 'Our own address, on a machine with several [default: all of them]' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-mesh" -l broadcast -d 'The broadcast address of the network' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-mesh" -l name -d 'How others see you; asked for on a terminal' -r
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-mesh" -l json -d 'Print events as JSON, one object a line'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from udp-mesh" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from help" -f -a "tcp-room" -d 'Binary frames over TCP, one room'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from help" -f -a "group" -d 'Lines over TCP, one room, and conversations with one member without the server'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from help" -f -a "udp-room" -d 'Text over UDP, one room'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from help" -f -a "udp-login" -d 'Text over UDP, one room, with accounts; the password crosses the network in clear'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from help" -f -a "tcrp" -d 'Rooms with a host: asked for over TCP, talked in over UDP'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from help" -f -a "udp-mesh" -d 'A local network without a server: everybody hears everybody\'s broadcasts'
complete -c mynah -n "__fish_mynah_using_subcommand chat; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mynah -n "__fish_mynah_using_subcommand bench" -l mix -d 'The proportion of several protocols\' members, in their order [default: the same of each]' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -l pid -d 'The process of a server with an address, to measure its processor time and memory' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -s n -l members -d 'How many there are in the room; several numbers are measured one after the other' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -l senders -d 'How many of them take turns at talking' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -s w -l window -d 'As fast as it goes, with so many messages in flight; one is until everybody has it [default: 1,16,256]' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -l rate -d 'So many messages a second by all senders together, come what may' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -l payload -d 'Bytes of one message\'s text' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -s d -l duration -d 'How long each run sends messages' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -l warm-up -d 'How long it sends before anything counts' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -l logins-in-flight -d 'How many members may be on their way in at one time' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -s r -l repeat -d 'Measure everything so often, and show medians' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench" -l json -d 'Write an object for each run, and a summary, to this file; without one, to standard output instead of the table' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand bench" -l plot -d 'Draw the latency distribution, and deliveries against members, as SVG' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand bench" -s f -l floor -d 'Before each run measure the bare write loop, which no server can pass, and show the ratio'
complete -c mynah -n "__fish_mynah_using_subcommand bench" -s q -l quiet -d 'No word on standard error while it runs'
complete -c mynah -n "__fish_mynah_using_subcommand bench" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "members" -d 'Who is in: name, protocol, address, room, and the bytes that it is behind'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "rooms" -d 'Which rooms there are, and how many are in each'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "kick" -d 'Put somebody out, who may come back'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "ban" -d 'Let nobody in from an address or prefix, and put out who is in; it is kept in the data directory'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "unban" -d 'Take a ban back'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "bans" -d 'Who is banned, since when, until when and why'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "say" -d 'Tell everybody something'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "reload" -d 'Read the configuration again, as SIGHUP'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "drain" -d 'Let nobody in any more, and stop when all have left, as SIGUSR2'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "stop" -d 'Stop, as SIGTERM'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "metrics" -d 'The figures, as Prometheus reads them'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "status" -d 'What server it is, since when, and where it listens'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "accounts" -d 'Which accounts there are'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and not __fish_seen_subcommand_from members rooms kick ban unban bans say reload drain stop metrics status accounts help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from members" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from members" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from members" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from members" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from members" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from rooms" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from rooms" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from rooms" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from rooms" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from rooms" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from kick" -l room -d 'In this room alone' -r
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from kick" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from kick" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from kick" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from kick" -s a -l address -d 'WHOM is an address: everybody from there, or the one at ADDR:PORT'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from kick" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from kick" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from ban" -l for -d 'For so long, as 30m, 12h or 7d [default: for good]' -r
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from ban" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from ban" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from ban" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from ban" -l force -d 'Even if it is this machine, or a large part of all'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from ban" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from ban" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from unban" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from unban" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from unban" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from unban" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from unban" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from bans" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from bans" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from bans" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from bans" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from bans" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from say" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from say" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from say" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from say" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from say" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from reload" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from reload" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from reload" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from reload" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from reload" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from drain" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from drain" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from stop" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from stop" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from stop" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from stop" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from metrics" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from metrics" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from metrics" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from metrics" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from metrics" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from status" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from status" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from status" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from status" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from accounts" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from accounts" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from accounts" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from accounts" -l json -d 'Show the answer as the server gives it: lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from accounts" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "members" -d 'Who is in: name, protocol, address, room, and the bytes that it is behind'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "rooms" -d 'Which rooms there are, and how many are in each'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "kick" -d 'Put somebody out, who may come back'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "ban" -d 'Let nobody in from an address or prefix, and put out who is in; it is kept in the data directory'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "unban" -d 'Take a ban back'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "bans" -d 'Who is banned, since when, until when and why'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "say" -d 'Tell everybody something'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "reload" -d 'Read the configuration again, as SIGHUP'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "drain" -d 'Let nobody in any more, and stop when all have left, as SIGUSR2'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "stop" -d 'Stop, as SIGTERM'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "metrics" -d 'The figures, as Prometheus reads them'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "status" -d 'What server it is, since when, and where it listens'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "accounts" -d 'Which accounts there are'
complete -c mynah -n "__fish_mynah_using_subcommand ctl; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mynah -n "__fish_mynah_using_subcommand account; and not __fish_seen_subcommand_from add passwd delete list help" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and not __fish_seen_subcommand_from add passwd delete list help" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and not __fish_seen_subcommand_from add passwd delete list help" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and not __fish_seen_subcommand_from add passwd delete list help" -l json -d 'Show the answer as lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand account; and not __fish_seen_subcommand_from add passwd delete list help" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand account; and not __fish_seen_subcommand_from add passwd delete list help" -f -a "add" -d 'Make an account; its password is asked for'
complete -c mynah -n "__fish_mynah_using_subcommand account; and not __fish_seen_subcommand_from add passwd delete list help" -f -a "passwd" -d 'Give an account another password; who is in with the old one stays'
complete -c mynah -n "__fish_mynah_using_subcommand account; and not __fish_seen_subcommand_from add passwd delete list help" -f -a "delete" -d 'Take an account away, and let its owner go'
complete -c mynah -n "__fish_mynah_using_subcommand account; and not __fish_seen_subcommand_from add passwd delete list help" -f -a "list" -d 'Which accounts there are; never what their passwords are known by'
complete -c mynah -n "__fish_mynah_using_subcommand account; and not __fish_seen_subcommand_from add passwd delete list help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from add" -l password-file -d 'Read the password from the first line of this file; - is standard input' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from add" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from add" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from add" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from add" -l json -d 'Show the answer as lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from passwd" -l password-file -d 'Read the password from the first line of this file; - is standard input' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from passwd" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from passwd" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from passwd" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from passwd" -l json -d 'Show the answer as lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from passwd" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from delete" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from delete" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from delete" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from delete" -l json -d 'Show the answer as lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from delete" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from list" -l config -d 'Its configuration file' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from list" -l data-dir -d 'Its data directory' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from list" -l control -d 'Its control socket [default: mynah.sock in the data directory]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from list" -l json -d 'Show the answer as lines of JSON'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "add" -d 'Make an account; its password is asked for'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "passwd" -d 'Give an account another password; who is in with the old one stays'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "delete" -d 'Take an account away, and let its owner go'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "list" -d 'Which accounts there are; never what their passwords are known by'
complete -c mynah -n "__fish_mynah_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mynah -n "__fish_mynah_using_subcommand top" -s i -l interval -d 'How long from one look to the next' -r
complete -c mynah -n "__fish_mynah_using_subcommand top" -l control -d 'The server\'s control socket [default: as in its configuration]' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand top" -l data-dir -d 'The server\'s data directory, where its control socket is' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand top" -l config -d 'The server\'s configuration file, which says where its control socket is' -r -F
complete -c mynah -n "__fish_mynah_using_subcommand top" -l once -d 'Print one table and leave; the rates in it are of one interval. Always so when the output is no terminal'
complete -c mynah -n "__fish_mynah_using_subcommand top" -s h -l help -d 'Print help'
complete -c mynah -n "__fish_mynah_using_subcommand bench-floor" -l kind -d 'Which of the loops' -r -f -a "stream\t'One write for each frame and member'
gathering\t'One write for each member with all that is there'
datagrams\t'One datagram for each and member'"
complete -c mynah -n "__fish_mynah_using_subcommand bench-floor" -l parent -d 'End when this process does, which has started us' -r
complete -c mynah -n "__fish_mynah_using_subcommand bench-floor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mynah -n "__fish_mynah_using_subcommand help; and not __fish_seen_subcommand_from serve config chat bench ctl account top bench-floor help" -f -a "serve" -d 'Run the server: every protocol on this machine, unless told otherwise'
complete -c mynah -n "__fish_mynah_using_subcommand help; and not __fish_seen_subcommand_from serve config chat bench ctl account top bench-floor help" -f -a "config" -d 'Show the configuration: what there is to set, and what is set'
complete -c mynah -n "__fish_mynah_using_subcommand help; and not __fish_seen_subcommand_from serve config chat bench ctl account top bench-floor help" -f -a "chat" -d 'Talk to others through a server'
complete -c mynah -n "__fish_mynah_using_subcommand help; and not __fish_seen_subcommand_from serve config chat bench ctl account top bench-floor help" -f -a "bench" -d 'Measure a server: members of any protocol come in, talk, and count every delivery'
complete -c mynah -n "__fish_mynah_using_subcommand help; and not __fish_seen_subcommand_from serve config chat bench ctl account top bench-floor help" -f -a "ctl" -d 'Keep order in a running server: see who is in, kick, ban, speak to all, stop'
complete -c mynah -n "__fish_mynah_using_subcommand help; and not __fish_seen_subcommand_from serve config chat bench ctl account top bench-floor help" -f -a "account" -d 'Make and change accounts, whether a server runs or not'
complete -c mynah -n "__fish_mynah_using_subcommand help; and not __fish_seen_subcommand_from serve config chat bench ctl account top bench-floor help" -f -a "top" -d 'Watch a server: its figures live in this terminal'
complete -c mynah -n "__fish_mynah_using_subcommand help; and not __fish_seen_subcommand_from serve config chat bench ctl account top bench-floor help" -f -a "bench-floor" -d 'The bare write loop that `bench` measures beside a server'
complete -c mynah -n "__fish_mynah_using_subcommand help; and not __fish_seen_subcommand_from serve config chat bench ctl account top bench-floor help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "default" -d 'Print a configuration file with all keys, their defaults and what they are, commented out'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from config" -f -a "check" -d 'Read the configuration as `serve` with the same flags would, and print what holds and where each value comes from; exit status 78 if something is wrong'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from chat" -f -a "tcp-room" -d 'Binary frames over TCP, one room'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from chat" -f -a "group" -d 'Lines over TCP, one room, and conversations with one member without the server'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from chat" -f -a "udp-room" -d 'Text over UDP, one room'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from chat" -f -a "udp-login" -d 'Text over UDP, one room, with accounts; the password crosses the network in clear'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from chat" -f -a "tcrp" -d 'Rooms with a host: asked for over TCP, talked in over UDP'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from chat" -f -a "udp-mesh" -d 'A local network without a server: everybody hears everybody\'s broadcasts'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "members" -d 'Who is in: name, protocol, address, room, and the bytes that it is behind'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "rooms" -d 'Which rooms there are, and how many are in each'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "kick" -d 'Put somebody out, who may come back'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "ban" -d 'Let nobody in from an address or prefix, and put out who is in; it is kept in the data directory'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "unban" -d 'Take a ban back'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "bans" -d 'Who is banned, since when, until when and why'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "say" -d 'Tell everybody something'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "reload" -d 'Read the configuration again, as SIGHUP'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "drain" -d 'Let nobody in any more, and stop when all have left, as SIGUSR2'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "stop" -d 'Stop, as SIGTERM'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "metrics" -d 'The figures, as Prometheus reads them'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "status" -d 'What server it is, since when, and where it listens'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from ctl" -f -a "accounts" -d 'Which accounts there are'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "add" -d 'Make an account; its password is asked for'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "passwd" -d 'Give an account another password; who is in with the old one stays'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "delete" -d 'Take an account away, and let its owner go'
complete -c mynah -n "__fish_mynah_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "list" -d 'Which accounts there are; never what their passwords are known by'
