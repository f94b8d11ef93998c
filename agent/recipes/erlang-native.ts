/**
 * coon's own way to compile an application, as one escript that runs in the build container: parse transforms and
 * behaviours before what uses them, the rest at once, then the `.app` from `src/*.app.src` with coon's templates.
 * Arguments: application, version, then `--vsn V`, `--first MODULE`, `--define NAME[=TERM]`, `--dep APP`,
 * `--about KEY VALUE` for the templates. Errors go to stderr as `file:line:column: message`.
 */
export const NATIVE_SCRIPT = String.raw`#!/usr/bin/env escript
%%! +fnu
-mode(compile).

main([Name, Version | Rest]) ->
    Given = options(Rest, #{vsn => "", first => [], define => [], dep => [], about => #{}}),
    Sources = filelib:wildcard("src/**/*.erl"),
    Modules = lists:usort([module(File) || File <- Sources]),
    {App, Template} = application(Name),
    ok = filelib:ensure_dir("ebin/"),
    %% Under the application's name, so that -include_lib finds its own headers.
    Ebin = filename:join(["/tmp/railhead", "lib", App, "ebin"]),
    Link = filename:dirname(Ebin),
    ok = filelib:ensure_dir(Link),
    _ = file:delete(Link),
    {ok, Here} = file:get_cwd(),
    ok = file:make_symlink(Here, Link),
    true = code:add_patha(Ebin),
    build([{File, needs(File, Modules, Given)} || File <- Sources],
          [return, {outdir, "ebin"}, {i, "include"}, {i, "src"} | defines(Given)]),
    compose(App, Template, Modules, Version, Given).

options(["--about", Key, Value | Rest], #{about := About} = Given) ->
    options(Rest, Given#{about := About#{Key => Value}});
options(["--vsn", Value | Rest], Given) ->
    options(Rest, Given#{vsn := Value});
options(["--" ++ Name, Value | Rest], Given) ->
    Key = list_to_existing_atom(Name),
    options(Rest, Given#{Key := maps:get(Key, Given) ++ [Value]});
options([], Given) -> Given.

fail(Format, Arguments) ->
    io:format(standard_error, Format ++ "~n", Arguments),
    halt(1).

application(Name) ->
    case {filelib:wildcard("src/*.app.src"), filelib:wildcard("ebin/*.app")} of
        {[Template], _} -> {filename:basename(Template, ".app.src"), Template};
        {[], [File | _]} -> {filename:basename(File, ".app"), none};
        {[], []} -> fail("There is neither src/~ts.app.src nor ebin/~ts.app.", [Name, Name]);
        {Many, _} -> fail("There is more than one application: ~ts.", [lists:join(", ", Many)])
    end.

%% ---- modules

module(File) -> list_to_atom(filename:basename(File, ".erl")).

needs(File, Modules, #{first := First}) ->
    {ok, Text} = file:read_file(File),
    Firsts = [module(Each) || Each <- First],
    Early = case lists:member(module(File), Firsts) of true -> []; false -> Firsts end,
    Used = named("-\\s*behaviou?r\\s*\\(\\s*'?([\\w@]+)", Text) ++
           named("parse_transform\\s*,\\s*'?([\\w@]+)", Text),
    [Need || Need <- lists:usort(Early ++ Used), Need =/= module(File), lists:member(Need, Modules)].

named(Pattern, Text) ->
    case re:run(Text, Pattern, [global, {capture, [1], list}]) of
        {match, Found} -> [list_to_atom(Word) || [Word] <- Found];
        nomatch -> []
    end.

build([], _) -> ok;
build(Left, Options) ->
    Waiting = [module(File) || {File, _} <- Left],
    {Ready, Later} = case lists:partition(fun({_, Needs}) -> Needs -- Waiting =:= Needs end, Left) of
        {[], Circle} -> {Circle, []};
        Split -> Split
    end,
    Results = parallel(fun({File, _}) -> {File, compile:file(File, Options)} end, Ready),
    [say(File, Said, "Warning: ") || {File, {ok, _, Said}} <- Results],
    [say(File, Said, "Warning: ") || {File, {error, _, Said}} <- Results],
    [say(File, Said, "") || {File, {error, Said, _}} <- Results],
    case [failed || {_, Result} <- Results, element(1, Result) =/= ok] of
        [] -> build(Later, Options);
        _ -> halt(1)
    end.

%% Deterministic modules know their files without folders; who reads of an error wants them.
say(Source, Files, Prefix) ->
    [io:format(standard_error, "~ts:~ts ~ts~ts~n", [path(Source, File), place(At), Prefix, By:format_error(What)])
     || {File, Messages} <- Files, {At, By, What} <- Messages].

path(Source, File) ->
    case filename:basename(Source) of
        File -> Source;
        _ -> File
    end.

place(none) -> "";
place({Line, Column}) -> io_lib:format("~w:~w:", [Line, Column]);
place(Line) -> io_lib:format("~w:", [Line]).

%% As many at a time as there are schedulers; the answers in the order of the items.
parallel(Work, Items) ->
    Count = length(Items),
    Numbered = lists:zip(lists:seq(1, Count), Items),
    parallel(Work, Numbered, erlang:system_info(schedulers_online), #{}, Count).

parallel(_, [], _, Done, Count) when map_size(Done) =:= Count ->
    [maps:get(N, Done) || N <- lists:seq(1, Count)];
parallel(Work, [{N, Item} | Items], Free, Done, Count) when Free > 0 ->
    Parent = self(),
    spawn_link(fun() -> Parent ! {done, N, Work(Item)} end),
    parallel(Work, Items, Free - 1, Done, Count);
parallel(Work, Items, Free, Done, Count) ->
    receive {done, N, Result} -> parallel(Work, Items, Free + 1, Done#{N => Result}, Count) end.

defines(#{define := Defines}) ->
    [define(string:split(Define, "=")) || Define <- Defines].

define([Name]) -> {d, list_to_atom(Name)};
define([Name, Value]) ->
    case term(Value) of
        {ok, Term} -> {d, list_to_atom(Name), Term};
        error -> {d, list_to_atom(Name), Value}
    end.

term(Text) ->
    case erl_scan:string(string:trim(Text, trailing, ". \t\r\n")) of
        {ok, Tokens, _} -> parsed(erl_parse:parse_term(Tokens ++ [{dot, 1}]));
        _ -> error
    end.

parsed({ok, Term}) -> {ok, Term};
parsed(_) -> error.

%% ---- the .app

compose(_, none, _, _, _) -> ok;
compose(App, Template, Modules, Version, #{vsn := Vsn} = Given) ->
    Rendered = render(read(Template), variables(App, Modules, Version, Given)),
    case term(Rendered) of
        {ok, {application, Name, Properties}} when is_list(Properties) ->
            Chosen = case proplists:get_value(vsn, Properties) of
                _ when Vsn =/= "" -> Vsn;
                Written when is_list(Written), Written =/= [] -> Written;
                _ -> Version
            end,
            Whole = keep(modules, Modules, keep(vsn, Chosen, Properties)),
            Text = io_lib:format("%% coding: utf-8~n~tp.~n", [{application, Name, Whole}]),
            Target = filename:join("ebin", App ++ ".app"),
            ok = file:write_file(Target, unicode:characters_to_binary(Text));
        _ ->
            fail("~ts: it is no application's description: ~ts", [Template, string:slice(Rendered, 0, 200)])
    end.

keep(Key, Value, Properties) -> lists:keystore(Key, 1, Properties, {Key, Value}).

read(File) ->
    {ok, Bytes} = file:read_file(File),
    case unicode:characters_to_list(Bytes) of
        Text when is_list(Text) -> Text;
        _ -> binary_to_list(Bytes)
    end.

variables(App, Modules, Version, #{vsn := Vsn, dep := Deps, about := About}) ->
    maps:merge(maps:from_list([{"app." ++ Key, Value} || {Key, Value} <- maps:to_list(About)]),
               #{"modules" => [atom_to_list(Module) || Module <- Modules],
                 "hostname" => "localhost",
                 "erl" => erlang:system_info(otp_release),
                 "app.name" => App,
                 "app.vsn" => case Vsn of "" -> Version; _ -> Vsn end,
                 "app.std_apps" => ["kernel", "stdlib"],
                 "app.apps" => Deps}).

%% The part of Jinja2 that coon's documentation shows. What does not look like it stays: {{a, b}} is a term, too.
render(Text, Variables) ->
    Pattern = "(\\{\\{-?\\s*[a-z][\\w.]*(?:\\s*\\+\\s*[a-z][\\w.]*)*\\s*-?\\}\\}"
              "|\\{%-?\\s*(?:if|elif|else|endif|set)\\b[^\\n]*?%\\})",
    Parts = re:split(Text, Pattern, [{return, list}, unicode]),
    lists:flatten(lists:reverse(parts(Parts, [], Variables, []))).

%% The stack holds, for each open if: whether this branch is shown, and whether one was already.
parts([], _, _, Out) -> Out;
parts(["{%" ++ Statement | Rest], Stack, Variables, Out) ->
    [Word | Condition] = string:split(string:trim(Statement, both, " %}-\t"), " "),
    case {Word, Condition, Stack} of
        {"if", [Test], _} ->
            Holds = holds(Test, Variables),
            parts(Rest, [{Holds, Holds} | Stack], Variables, Out);
        {"elif", [Test], [{_, Before} | Outer]} ->
            Holds = not Before andalso holds(Test, Variables),
            parts(Rest, [{Holds, Holds orelse Before} | Outer], Variables, Out);
        {"else", _, [{_, Before} | Outer]} ->
            parts(Rest, [{not Before, true} | Outer], Variables, Out);
        {"endif", _, [_ | Outer]} ->
            parts(Rest, Outer, Variables, Out);
        {"set", [Assignment], _} ->
            [Key, Value] = string:split(Assignment, "="),
            parts(Rest, Stack, Variables#{string:trim(Key) => value(Value, Variables)}, Out);
        _ ->
            fail("The template has a misplaced {% ~ts %}.", [Word])
    end;
parts(["{{" ++ Words | Rest], Stack, Variables, Out) ->
    Names = string:split(string:trim(Words, both, " {}-\t\n"), "+", all),
    Values = [maps:find(string:trim(Name), Variables) || Name <- Names],
    Text = case lists:member(error, Values) of
        true -> "{{" ++ Words;
        false -> inserted([Value || {ok, Value} <- Values], Out)
    end,
    parts(Rest, Stack, Variables, shown(Stack, Text, Out));
parts([Text | Rest], Stack, Variables, Out) ->
    parts(Rest, Stack, Variables, shown(Stack, Text, Out)).

shown(Stack, Text, Out) ->
    case lists:all(fun({Shown, _}) -> Shown end, Stack) of
        true -> [Text | Out];
        false -> Out
    end.

inserted([[] | _] = Lists, _) -> names(lists:append(Lists));
inserted([[First | _] | _] = Lists, _) when is_list(First) -> names(lists:append(Lists));
inserted(Strings, Out) ->
    Text = lists:append(Strings),
    Quotes = length([$" || $" <- lists:flatten(Out)]),
    case Quotes rem 2 =:= 1 orelse term(Text) =/= error of
        true -> Text;
        false -> io_lib:format("~tp", [Text])
    end.

names(Names) -> "[" ++ lists:join(", ", ["'" ++ Name ++ "'" || Name <- Names]) ++ "]".

holds(Test, Variables) ->
    Pattern = "^\\s*(.+?)\\s+(is not defined|is defined|==|!=|not in|in)\\s*(.*?)\\s*$",
    case re:run(Test, Pattern, [{capture, all_but_first, list}, unicode]) of
        {match, [Left, Operator, Right]} -> holds(value(Left, Variables), Operator, Right, Variables);
        nomatch -> not lists:member(value(Test, Variables), [undefined, []])
    end.

holds(Left, "is defined", _, _) -> Left =/= undefined;
holds(Left, "is not defined", _, _) -> Left =:= undefined;
holds(Left, "==", Right, Variables) -> Left =:= value(Right, Variables);
holds(Left, "!=", Right, Variables) -> Left =/= value(Right, Variables);
holds(Left, "in", Right, Variables) -> lists:member(Left, items(Right, Variables));
holds(Left, "not in", Right, Variables) -> not lists:member(Left, items(Right, Variables)).

items(Text, Variables) ->
    case value(Text, Variables) of
        List when is_list(List) -> List;
        _ -> []
    end.

value(Text, Variables) ->
    case string:trim(Text) of
        [Quote | Rest] when Quote =:= $'; Quote =:= $" -> string:trim(Rest, trailing, [Quote]);
        "[" ++ Rest ->
            [value(Each, Variables) || Each <- string:split(string:trim(Rest, trailing, "]"), ",", all)];
        Word -> maps:get(Word, Variables, undefined)
    end.
`;
