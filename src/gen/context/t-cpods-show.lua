-- How code is shown: the words of C, SMT-LIB and joyLoL, and their comments, in colours.
--
-- Knows nothing of files and steps. A contract, a comment that begins with an `@`, is shown as a
-- part of its own: it is code too, for another tool.

local P, R, S, V, patterns = lpeg.P, lpeg.R, lpeg.S, lpeg.V, lpeg.patterns

local context = context
local verbatim = context.verbatim
local makepattern = visualizers.makepattern
local CpodsSnippet = context.CpodsSnippet
local startCpodsSnippet, stopCpodsSnippet = context.startCpodsSnippet, context.stopCpodsSnippet

local function handler(words)
    return visualizers.newhandler {
        startinline = function() CpodsSnippet(false, "{") end,
        stopinline = function() context("}") end,
        startdisplay = function() startCpodsSnippet() end,
        stopdisplay = function() stopCpodsSnippet() end,
        comment = function(s) verbatim.CpodsSnippetComment(s) end,
        contract = function(s) verbatim.CpodsSnippetContract(s) end,
        string = function(s) verbatim.CpodsSnippetString(s) end,
        directive = function(s) verbatim.CpodsSnippetDirective(s) end,
        name = function(s)
            if words[s] then
                verbatim.CpodsSnippetWord(s)
            else
                verbatim(s)
            end
        end,
    }
end

-- What is inside of a comment or a string is shown line by line.
local function spread(hand, style, first, item, final)
    local more = V("whitespace") + makepattern(hand, style, (item - patterns.whitespace) ^ 1)
    return makepattern(hand, style, first) * more ^ 0 * (final and makepattern(hand, style, final) or P(true))
end

local function register(name, words, build)
    local hand = handler(table.tohash(words))
    local grammar = visualizers.newgrammar("default", build(hand))
    visualizers.register(name, { parser = P(grammar), handler = hand, grammar = grammar })
end

local letter = R("az", "AZ") + P("_")

register("cpodsc", {
    "auto", "bool", "break", "case", "char", "class", "const", "continue", "default", "do", "double",
    "else", "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "namespace",
    "register", "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch",
    "template", "typedef", "union", "unsigned", "void", "volatile", "while", "_Noreturn",
    "_Static_assert",
}, function(hand)
    local rest = P(1) - S("\r\n")
    local block = 1 - P("*/")
    return { "visualizer",
        comment = spread(hand, "comment", P("/*"), block, P("*/")),
        remark = makepattern(hand, "contract", P("//@") * rest ^ 0)
            + makepattern(hand, "comment", P("//") * rest ^ 0),
        string = makepattern(hand, "string", P('"') * (P("\\") * 1 + 1 - S('"\r\n')) ^ 0 * P('"'))
            + makepattern(hand, "string", P("'") * (P("\\") * 1 + 1 - S("'\r\n")) ^ 0 * P("'")),
        directive = makepattern(hand, "directive", P("#") * S(" ") ^ 0 * letter ^ 1),
        pattern = V("remark") + spread(hand, "contract", P("/*@"), block, P("*/")) + V("comment")
            + V("string") + V("directive")
            + makepattern(hand, "name", letter * (letter + R("09")) ^ 0)
            + V("space") + V("line") + V("default"),
        visualizer = V("pattern") ^ 1,
    }
end)

register("cpodssmt", {
    "assert", "check-sat", "declare-const", "declare-fun", "define-fun", "define-fun-rec", "eval",
    "exists", "forall", "get-model", "get-value", "echo", "pop", "push", "set-logic", "set-option",
    "maximize", "minimize", "and", "or", "not", "ite", "let", "distinct",
}, function(hand)
    local rest = P(1) - S("\r\n")
    return { "visualizer",
        pattern = makepattern(hand, "comment", P(";") * rest ^ 0)
            + makepattern(hand, "string", P('"') * (1 - S('"\r\n')) ^ 0 * P('"'))
            + makepattern(hand, "name", letter * (letter + R("09") + S("-!.")) ^ 0)
            + V("space") + V("line") + V("default"),
        visualizer = V("pattern") ^ 1,
    }
end)

register("cpodsjoy", {
    "DEFINE", "LOAD",
}, function(hand)
    local rest = P(1) - S("\r\n")
    return { "visualizer",
        pattern = makepattern(hand, "comment", P("#") * rest ^ 0)
            + makepattern(hand, "string", P('"') * (P("\\") * 1 + 1 - S('"\r\n')) ^ 0 * P('"'))
            + makepattern(hand, "name", letter * (letter + R("09") + S("-!?.")) ^ 0)
            + V("space") + V("line") + V("default"),
        visualizer = V("pattern") ^ 1,
    }
end)
