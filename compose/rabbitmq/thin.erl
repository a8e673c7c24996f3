%% Makes the broker boot sooner; runs when its image is built.
%%
%% While it boots, RabbitMQ looks for boot steps, feature flags and upgrades in
%% the attributes of every module that any loaded application lists, and so
%% loads and compiles hundreds of modules that it then never calls: two of its
%% five seconds of CPU. This keeps in each application's list the modules that
%% carry such an attribute; all others are still there, and are loaded when they
%% are first called. It also strips debug information, but not the attributes.
-module(thin).
-export([main/1]).

main(Roots) ->
    Beams = lists:append([filelib:wildcard(Root ++ "/*/ebin/*.beam") || Root <- Roots]),
    {ok, _} = beam_lib:strip_files(Beams, ["Attr"]),
    Listings = lists:append([filelib:wildcard(Root ++ "/*/ebin/*.app") || Root <- Roots]),
    lists:foreach(fun thin/1, Listings).

thin(Listing) ->
    {ok, [{application, Name, Properties}]} = file:consult(Listing),
    Modules = proplists:get_value(modules, Properties, []),
    Kept = [Module || Module <- Modules, scanned_for(Listing, Module)],
    Thinned = {application, Name, lists:keystore(modules, 1, Properties, {modules, Kept})},
    ok = file:write_file(Listing, io_lib:format("~tp.~n", [Thinned])).

scanned_for(Listing, Module) ->
    Beam = filename:join(filename:dirname(Listing), atom_to_list(Module)),
    case beam_lib:chunks(Beam, [attributes]) of
        {ok, {_, [{attributes, Attributes}]}} -> lists:any(fun wanted/1, Attributes);
        {error, beam_lib, _} -> false
    end.

%% The management plugin finds its own pages by behaviour.
wanted({behaviour, Behaviours}) -> lists:member(rabbit_mgmt_extension, Behaviours);
wanted({Attribute, _}) -> lists:prefix("rabbit_", atom_to_list(Attribute)).
