//! Where the blocks of a source file are.

use std::ops::Range;

use syn::visit::{self, Visit};

/// What lies between the braces of each block that runs when the program does. Blocks that the compiler runs (constants,
/// `const fn`) are left out, for it cannot ask which mutation is on; so are those in the arguments of macros, which are
/// no more than tokens.
///
/// # Errors
/// When the source does not parse.
pub(super) fn contents(source: &str) -> syn::Result<Vec<Range<usize>>> {
    let file = syn::parse_file(source)?;
    let mut blocks = Blocks::default();
    blocks.visit_file(&file);
    Ok(blocks.contents)
}

#[derive(Debug, Default)]
struct Blocks {
    contents: Vec<Range<usize>>,
    is_const: bool,
}

impl Blocks {
    /// Goes into something that the compiler runs, or into a function of which that is known.
    fn within(&mut self, is_const: bool, visit: impl FnOnce(&mut Self)) {
        let around = std::mem::replace(&mut self.is_const, is_const);
        visit(self);
        self.is_const = around;
    }
}

impl<'ast> Visit<'ast> for Blocks {
    fn visit_block(&mut self, block: &'ast syn::Block) {
        if !self.is_const {
            let braces = block.brace_token.span;
            self.contents.push(braces.open().byte_range().end..braces.close().byte_range().start);
        }
        visit::visit_block(self, block);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.within(item.sig.constness.is_some(), |blocks| visit::visit_item_fn(blocks, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.within(item.sig.constness.is_some(), |blocks| visit::visit_impl_item_fn(blocks, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.within(item.sig.constness.is_some(), |blocks| visit::visit_trait_item_fn(blocks, item));
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.within(true, |blocks| visit::visit_item_const(blocks, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.within(true, |blocks| visit::visit_item_static(blocks, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.within(true, |blocks| visit::visit_impl_item_const(blocks, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.within(true, |blocks| visit::visit_trait_item_const(blocks, item));
    }

    fn visit_expr_const(&mut self, expression: &'ast syn::ExprConst) {
        self.within(true, |blocks| visit::visit_expr_const(blocks, expression));
    }

    fn visit_expr_repeat(&mut self, expression: &'ast syn::ExprRepeat) {
        self.visit_expr(&expression.expr);
        self.within(true, |blocks| blocks.visit_expr(&expression.len));
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        self.visit_type(&array.elem);
        self.within(true, |blocks| blocks.visit_expr(&array.len));
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.within(true, |blocks| visit::visit_variant(blocks, variant));
    }

    fn visit_generic_argument(&mut self, argument: &'ast syn::GenericArgument) {
        let is_const = self.is_const || matches!(argument, syn::GenericArgument::Const(_));
        self.within(is_const, |blocks| visit::visit_generic_argument(blocks, argument));
    }
}
